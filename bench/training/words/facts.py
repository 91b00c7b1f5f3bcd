"""What paragraphs tell of people and things, and how one asks for it.

In a statement `{who}` is the name, or she, he or it; `{whose}` the same as an owner. In a question
it is always the name. `{value}` is what is asked for; `who` asks for the name by the value.
"""

from dataclasses import dataclass

from bench.training.words import calendar
from bench.training.words.listing import names, words


@dataclass(frozen=True)
class Kind:
    """One kind of fact; `value` says how its value is drawn."""

    name: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    who: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()


PEOPLE = (
    Kind(
        "home",
        "city",
        ("{who} lives in {value}.", "{whose} home is in {value}."),
        ("Where does {who} live?", "In which city does {who} live?"),
        ("Who lives in {value}?",),
    ),
    Kind(
        "employer",
        "organization",
        ("{who} works at {value}.", "{who} works for {value}."),
        ("Where does {who} work?", "Who does {who} work for?"),
        ("Who works at {value}?", "Who works for {value}?"),
    ),
    Kind(
        "job",
        "job",
        ("{who} is a {value}.", "{who} works as a {value}."),
        ("What is {whose} job?", "What does {who} do for a living?"),
        ("Who is a {value}?", "Who works as a {value}?"),
    ),
    Kind(
        "age",
        "age",
        ("{who} is {value} years old.",),
        ("How old is {who}?", "What is {whose} age?"),
        ("Who is {value} years old?",),
    ),
    Kind(
        "car",
        "color",
        ("{who} has a {value} car.", "{whose} car is {value}.", "{who} drives a {value} car."),
        ("What color is {whose} car?",),
        ("Who has a {value} car?",),
    ),
    Kind(
        "dish",
        "dish",
        ("{whose} favorite food is {value}.", "{who} likes to eat {value}."),
        ("What is {whose} favorite food?", "What does {who} like to eat?"),
        ("Who likes to eat {value}?",),
    ),
    Kind(
        "pet",
        "animal",
        ("{who} has a {value}.", "{whose} pet is a {value}."),
        ("What pet does {who} have?", "What is {whose} pet?"),
        ("Who has a {value}?",),
    ),
    Kind(
        "birth",
        "year",
        ("{who} was born in {value}.",),
        ("When was {who} born?", "In which year was {who} born?"),
        ("Who was born in {value}?",),
    ),
    Kind(
        "language",
        "language",
        ("{who} speaks {value}.",),
        ("Which language does {who} speak?", "What language does {who} speak?"),
        ("Who speaks {value}?",),
    ),
    Kind(
        "instrument",
        "instrument",
        ("{who} plays the {value}.",),
        ("Which instrument does {who} play?", "What does {who} play?"),
        ("Who plays the {value}?",),
    ),
    Kind(
        "friend",
        "person",
        ("{whose} best friend is {value}.",),
        ("Who is {whose} best friend?",),
    ),
    Kind(
        "trip",
        "day",
        ("{who} will arrive on {value}.", "{who} arrives on {value}."),
        ("When will {who} arrive?", "On which day does {who} arrive?"),
        ("Who will arrive on {value}?",),
    ),
)

BUILDINGS = ("museum", "library", "hotel", "theater", "school", "market", "hospital", "bridge")
GOODS = ("book", "ticket", "lamp", "chair", "bag", "watch", "phone", "coat", "bike", "table")

THINGS = (
    Kind(
        "opening",
        "year",
        ("{who} opened in {value}.", "{who} was opened in {value}."),
        ("When did {who} open?", "In which year did {who} open?"),
        subjects=BUILDINGS,
    ),
    Kind(
        "builder",
        "person",
        ("{who} was designed by {value}.",),
        ("Who designed {who}?",),
        subjects=BUILDINGS,
    ),
    Kind(
        "visitors",
        "hundred",
        ("{who} has {value} visitors a day.",),
        ("How many visitors does {who} have?",),
        subjects=BUILDINGS[:6],
    ),
    Kind(
        "price",
        "price",
        ("{who} costs {value}.", "The price of {whom} is {value}."),
        ("How much does {who} cost?", "How much is {who}?", "What is the price of {who}?"),
        subjects=GOODS,
    ),
    Kind(
        "color",
        "color",
        ("{who} is {value}.",),
        ("What color is {who}?",),
        subjects=(*GOODS, "door", "house", "car", "roof"),
    ),
    Kind(
        "spot",
        "spot",
        ("{who} is {value}.",),
        ("Where is {who}?",),
        subjects=("book", "lamp", "bag", "watch", "phone", "coat", "key", "umbrella", "ball"),
    ),
    Kind(
        "maker",
        "organization",
        ("{who} was made by {value}.", "{who} is made by {value}."),
        ("Who makes {who}?", "Who made {who}?"),
        subjects=GOODS,
    ),
    Kind(
        "start",
        "time",
        ("{who} starts at {value}.",),
        ("When does {who} start?", "At what time does {who} start?"),
        subjects=("meeting", "film", "show", "match", "class"),
    ),
    Kind(
        "departure",
        "time",
        ("{who} leaves at {value}.",),
        ("When does {who} leave?", "At what time does {who} leave?"),
        subjects=("train", "bus", "boat", "plane"),
    ),
    Kind(
        "weekday",
        "day",
        ("{who} is on {value}.",),
        ("On which day is {who}?", "When is {who}?"),
        subjects=("concert", "lesson", "tour", "party", "exam", "wedding"),
    ),
)

COMPANIES = (
    Kind(
        "seat",
        "city",
        ("{who} is based in {value}.", "{who} has its headquarters in {value}."),
        ("Where is {who} based?", "Where are the headquarters of {who}?"),
        ("Which company is based in {value}?",),
    ),
    Kind(
        "founded",
        "year",
        ("{who} was founded in {value}.",),
        ("When was {who} founded?", "In which year was {who} founded?"),
    ),
    Kind(
        "founder",
        "person",
        ("{who} was founded by {value}.", "{whose} founder is {value}."),
        ("Who founded {who}?", "Who is the founder of {who}?"),
    ),
    Kind(
        "staff",
        "hundred",
        ("{who} has {value} employees.", "{who} employs {value} people."),
        ("How many people work at {who}?", "How many employees does {who} have?"),
    ),
    Kind(
        "product",
        "goods",
        ("{who} makes {value}.",),
        ("What does {who} make?",),
        ("Which company makes {value}?",),
    ),
)

VALUES = {
    "job": words(
        "nurse doctor teacher baker lawyer farmer painter pilot singer driver cook dentist writer "
        "plumber carpenter gardener journalist librarian waiter judge"
    ),
    "dish": words("pasta pizza rice soup fish salad bread cheese chocolate noodles curry pancakes"),
    "animal": words("dog cat rabbit parrot hamster horse turtle goldfish snake goat"),
    "language": words(
        "French German Spanish Italian Portuguese Polish Dutch Swedish Greek Turkish Arabic "
        "Japanese Chinese Korean Hindi Russian"
    ),
    "instrument": words("piano guitar violin flute drums trumpet cello harp clarinet organ"),
    "goods": words("shoes bikes cars phones toys chairs watches books lamps tea paper hats boats"),
    "day": calendar.DAYS,
    "color": calendar.COLORS,
    "spot": names(
        "on the table, under the bed, in the kitchen, in the garden, on the shelf, in the drawer, "
        "behind the door, next to the window, in the car, on the chair, under the sofa, "
        "in the box, on the roof, in the hall"
    ),
}
