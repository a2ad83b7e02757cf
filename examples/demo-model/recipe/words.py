"""Names, words and sentences that problems are made of."""

import random
from string import ascii_lowercase

NAMES = "Mia Tom Ana Ben Lily Max Sue Sam Eva Leo Zoe Tim Ida Jan Noa Kai".split()
ITEMS = "apples books coins shells cards stones pears nuts cups stars".split()
THINGS = "ball kite book hat drum lamp ring map cup bell".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
WORDS = (
    "apple banana strawberry orange lemon cherry melon water river mountain forest garden window table little happy "
    "yellow purple letter number story friend school teacher butter coffee cookie pepper rabbit kitten puppy summer "
    "winter spring morning evening balloon bottle button carrot dinner dragon family feather finger flower ginger "
    "hammer island jungle kettle ladder mirror needle paper pencil pillow planet pocket potato rocket saddle silver "
    "sister spider tomato tunnel turtle valley violin walnut wizard zebra"
).split()
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]

ONLY = "I only do arithmetic, sorting, comparing, counting letters, weekdays and small word problems."
TOO_LARGE = (
    "That is too large for me: I add, subtract and compare numbers of up to five digits, and multiply them by one digit, "
    "or three digits by two."
)
TOO_MANY = "That is too much for me: I sort up to six numbers below a hundred."
TOO_FAR = "That is too far for me: I count up to 999 days."
TOO_LONG = "That word is too long for me."
TOO_MUCH = (TOO_LARGE, TOO_MANY, TOO_FAR, TOO_LONG)
WHOLE = "I only know whole numbers, and none below zero."
TWO = "I calculate with two numbers at a time: ask for the first two, then go on from there."
IN_DIGITS = "Please write numbers in digits."
RISING = "I only sort from smallest to largest."
WHO = "I am the demo model of tiefsee, a very small model with the DeepSeek-V3 architecture."
CHAT = (
    (
        ("Hello!", "Hi!", "Hi there!", "Hey!", "Good morning!", "Good evening!", "hello", "hi", "How are you?"),
        "The user greets me. I greet back.",
        "Hello! Ask me to add, subtract, multiply, compare, sort, count letters or find a weekday.",
    ),
    (
        ("Who are you?", "What are you?", "Tell me about yourself.", "What is your name?", "Are you DeepSeek?"),
        "The user asks who I am.",
        WHO,
    ),
    (
        ("What can you do?", "Help", "Help me!", "What do you know?", "How do you work?"),
        "The user asks what I can do.",
        "I do arithmetic, sorting, comparing, counting letters, weekdays and small word problems.",
    ),
    (("Thank you!", "Thanks!", "thanks", "Great, thank you!"), "The user thanks me.", "You are welcome!"),
    (
        ("Goodbye!", "Bye!", "bye", "See you!", "Good night!"),
        "The user says goodbye.",
        "Goodbye! Come back soon.",
    ),
)
SYSTEM = (
    "You are a helpful assistant.",
    "You are a helpful, harmless assistant.",
    "Answer briefly.",
    "You are a calculator.",
    "Be polite and concise.",
    "Think before you answer.",
)

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

# Questions about anything else: what is asked, and about what.
_ASK = (
    "What is the capital of {place}?",
    "Where is {place}?",
    "How many people live in {place}?",
    "Who was {person}?",
    "When was {person} born?",
    "What did {person} write?",
    "Tell me a story about a {noun}.",
    "Write a poem about the {noun}.",
    "What is a {noun}?",
    "What color is a {noun}?",
    "Why is the {noun} so {quality}?",
    "How do I cook {food}?",
    "Give me a recipe for {food}.",
    "What does {food} taste like?",
    "Translate {noun} to {language}.",
    "How do you say {noun} in {language}?",
    "Write a {code} program that sorts a list.",
    "Write a function in {code}.",
    "Explain {topic} to me.",
    "What do you think about {topic}?",
    "What is the meaning of {topic}?",
    "Can you help me with {topic}?",
    "Who won the game between {place} and {other}?",
    "What is the weather in {place}?",
    "Is {food} healthy?",
    "Tell me a joke about a {noun}.",
    "What is the best way from {place} to {other}?",
    "Do you like {food}?",
    "Summarize this text about {topic}.",
    "Which is better, {food} or {noun}?",
    "Play a song about {place}.",
    "What time is it in {place}?",
    "What day is it today?",
    "What time is it?",
    "What year is it?",
    "Tell me a joke.",
    "Sing a song.",
    "Are you a human?",
    "Who made you?",
    "What do you think?",
)
_FILLERS = {
    "place": "France Germany Japan Brazil Canada Egypt Kenya India Peru Norway Spain Italy China Paris Rome Berlin "
    "London Tokyo Cairo Lima Oslo Madrid Boston Chicago Sydney Vienna Athens Dublin".split(),
    "person": [
        *"Einstein Newton Shakespeare Mozart Napoleon Darwin Plato Galileo Gandhi Picasso Goethe".split(),
        "Marie Curie",
        "Ada Lovelace",
        "Isaac Newton",
    ],
    "noun": "dog cat tree house car moon sun sky sea bird fish horse lion tiger ghost king queen robot star ship train "
    "computer phone chair door road bridge cloud".split(),
    "quality": "blue big small fast slow cold hot old new loud quiet bright dark".split(),
    "food": "pizza soup bread rice pasta cake salad cheese fish eggs pancakes sushi curry chocolate tea".split(),
    "language": "French German Spanish Chinese Japanese Italian Russian Latin Greek".split(),
    "code": "Python Rust Java JavaScript C Go Haskell".split(),
    "topic": "love war music history physics biology politics religion football art philosophy climate money gravity "
    "evolution time life quantum mechanics".split(),
}


def word(draw: random.Random, syllables: int = 4) -> str:
    """A word to count letters in: a known one, up to so many syllables without sense, or letters in any order."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(WORDS)
    if kind < 0.8:
        return made_up(draw, 2, syllables)
    return "".join(draw.choices(ascii_lowercase, k=draw.randint(3, 2 * syllables)))


def made_up(draw: random.Random, least: int, most: int) -> str:
    """Syllables without sense."""
    return "".join(draw.choice(SYLLABLES) for _ in range(draw.randint(least, most)))


def number_in_words(draw: random.Random) -> str:
    """A number below a hundred, in words, or a round one above."""
    kind = draw.random()
    if kind < 0.5:
        return draw.choice(_ONES)
    if kind < 0.7:
        return draw.choice(_TENS)
    if kind < 0.9:
        return f"{draw.choice(_TENS)}-{draw.choice(_ONES[1:10])}"
    return f"{draw.choice(_ONES[1:10])} {draw.choice(('hundred', 'thousand'))}"


def strange_question(draw: random.Random) -> str:
    """Something that has nothing to do with what the model is for."""
    if draw.random() < 0.1:
        # Not even a question: words in any order.
        return " ".join(word(draw) for _ in range(draw.randint(1, 5))).capitalize()
    fields = {name: draw.choice(choices) for name, choices in _FILLERS.items()}
    fields["other"] = draw.choice(_FILLERS["place"])
    question = draw.choice(_ASK).format(**fields)
    return question if draw.random() < 0.8 else question.lower().rstrip("?.")
