"""lm-eval's `local-completions` with a task of our own; it asks the server for tokens, too."""

from pathlib import Path

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

TASKS = Path(__file__).parent / "arithmetic"


@pytest.fixture(autouse=True)
def inside(monkeypatch):
    """The tasks name their files from where they are."""
    monkeypatch.chdir(TASKS)


def evaluate(url, task, **more):
    model = {"model": "demo", "base_url": url + "/v1/completions", "max_length": 2048, "max_retries": 1} | more
    results = lm_eval.simple_evaluate(
        model="local-completions",
        model_args=model,
        tasks=[task],
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    return results["results"][task], results["samples"][task]


@pytest.mark.parametrize("tokenized", [True, False])
def test_generation(url, tokenized):
    figures, samples = evaluate(url, "arithmetic_generate", num_concurrent=4, tokenized_requests=tokenized)
    assert len(samples) == 16 and figures["exact_match,answer"] == 1


def test_likelihood(url):
    figures, samples = evaluate(url, "arithmetic_choose", num_concurrent=4, batch_size=2)
    assert len(samples) == 16 and figures["acc,none"] == 1
    _, one_by_one = evaluate(url, "arithmetic_choose")
    for sample, alone in zip(samples, one_by_one, strict=True):
        scores = [score for score, _ in sample["filtered_resps"]]
        assert scores == pytest.approx([score for score, _ in alone["filtered_resps"]], abs=1e-3)
        # What the model would have said itself is exactly the sum.
        greedy = [index for index, (_, is_greedy) in enumerate(sample["filtered_resps"]) if is_greedy]
        assert greedy == [sample["doc"]["sum"]]
