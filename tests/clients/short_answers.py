"""Makes the requests that schemathesis invents ask for short answers: it is after odd requests, not long stories."""

import schemathesis

MOST_TOKENS = 4
LIMITS = ("max_tokens", "max_completion_tokens")


@schemathesis.hook
def before_call(context, case, **kwargs):
    body = case.body
    if not isinstance(body, dict) or not {"messages", "prompt"} & set(body):
        return
    # What is no such number is a mistake that the server has to find.
    for name in LIMITS:
        value = body.get(name)
        if isinstance(value, int) and value > MOST_TOKENS:
            body[name] = MOST_TOKENS
    if not set(LIMITS) & set(body):
        body["max_tokens"] = MOST_TOKENS
