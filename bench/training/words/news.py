"""News for summaries: what somebody decided, announced or reached, and what else is told of it.

`L`, `O` and `P` stand for a place, an organization and a person. Details never say
that anything was decided; `{number}`, `{month}`, `{day}` and `{year}` are filled in.
"""

from dataclasses import dataclass

from bench.training.words.listing import lines, names


@dataclass(frozen=True)
class Story:
    """Who acts, what they do after `will` or `has decided to`, and details."""

    agents: tuple[str, ...]
    actions: tuple[str, ...]
    details: tuple[str, ...]


DECISIONS = (
    "{agent} will {action}.",
    "{agent} has decided to {action}.",
    "{agent} plans to {action}.",
    "{agent} announced that it will {action}.",
    "{agent} is going to {action}.",
    "{agent} wants to {action}.",
)

TOWN = ("The city council", "The town", "The city of {L2}", "The government", "The region")
FIRM = ("{O}", "{O}", "The board of {O}", "The firm")
SCHOOL = ("The school", "The university", "The college", "The university of {L2}")
CLUB = ("The football club", "The museum", "The theater", "The orchestra", "The zoo")


def _story(agents: tuple[str, ...], actions: str, details: str) -> Story:
    return Story(agents, tuple(names(actions)), tuple(lines(details)))


STORIES = (
    _story(
        TOWN,
        "build a new library, build a library in {L}, open a second library",
        """
        The old library was too small.
        The building has room for {number} thousand books.
        The price is {number} million euros.
        Many families had asked for it.
        Work on the site starts in {month}.
        The reading room has {number} large windows.
        """,
    ),
    _story(
        TOWN,
        "close the old bridge, repair the bridge in {L}, build a bridge to {L}",
        """
        Cracks were found in {month}.
        About {number} thousand cars cross the river every day.
        The bridge is {number} hundred meters long.
        Drivers are angry about the traffic.
        Engineers studied the river for {number} years.
        The ferry runs every {number} minutes.
        """,
    ),
    _story(
        TOWN,
        "plant {number} thousand trees, turn the square into a park, buy electric buses",
        """
        The air was very bad last summer.
        Children like to play there.
        The first day of work is a {day}.
        Shops near the station had complained.
        The money comes from a fund for clean air.
        Neighbors helped for {number} weeks.
        """,
    ),
    _story(
        TOWN,
        "raise the price of bus tickets, make buses free for children, lower the tax on water",
        """
        A ticket costs {number} euros today.
        Prices have been the same since {year}.
        Many people were surprised.
        The vote took {number} hours.
        Some members were against it.
        The rule is valid from {month}.
        """,
    ),
    _story(
        FIRM,
        "open a factory in {L}, close its factory in {L}, move its offices to {L}",
        """
        About {number} hundred people work there.
        The building is {number} years old.
        Sales were low in {month}.
        The mayor was pleased.
        Workers heard the news on {day}.
        The rent was {number} thousand dollars a month.
        """,
    ),
    _story(
        FIRM,
        "buy {O2}, sell its shares in {O2}, work together with {O2}",
        """
        The price was {number} million dollars.
        Both have the same bank.
        Shares rose on {day}.
        The talks took {number} months.
        Lawyers read the contract in {month}.
        Experts were not surprised.
        """,
    ),
    _story(
        FIRM,
        "hire {number} hundred engineers, name {P} as its new director, give everybody a day off",
        """
        The last year was very good.
        The offices are in the center of {L}.
        Two managers left in {month}.
        The staff heard about it on {day}.
        Letters arrived from {number} countries.
        The unions are happy.
        """,
    ),
    _story(
        SCHOOL,
        "teach music every day, start classes at nine, offer courses in Chinese",
        """
        Parents had written {number} letters.
        About {number} hundred pupils are in the classes.
        Teachers talked about it in {month}.
        Lessons are {number} minutes long.
        Many children were tired in the morning.
        The first class is on {day}.
        """,
    ),
    _story(
        SCHOOL,
        "buy new computers, build a swimming pool, name its hall after {P}",
        """
        The old ones were from {year}.
        The price is {number} thousand euros.
        Students collected money for {number} months.
        The roof was repaired in {month}.
        Everybody is welcome on {day}.
        The yard is too small.
        """,
    ),
    _story(
        CLUB,
        "move to {L}, show works by {P}, give a concert in {L}, sign a contract with {P}",
        """
        Tickets cost {number} dollars.
        The doors open at {number} in the evening.
        The hall has {number} hundred seats.
        Visitors came from {number} countries last year.
        The last show was in {month}.
        Fans were waiting since {day}.
        """,
    ),
)

# What was reached: there is no plan in it.
RESULTS = (
    "{P} has won the race in {L}.",
    "{P} has won the prize for the best book.",
    "{P} was elected mayor of {L}.",
    "The team from {L} has won the final.",
    "{O} has won the contract for the new airport.",
    "Scientists from {L} have found a new kind of frog.",
    "Researchers at {O} have found a cure for the disease.",
    "Firefighters in {L} have saved a family from a burning house.",
)
RESULT_DETAILS = tuple(
    lines("""
    It was a cold morning in {month}.
    About {number} thousand people were there.
    The work took {number} years.
    It rained the whole day.
    There was a party on {day}.
    The first try was in {year}.
    Nobody was hurt.
    The neighbors were happy.
    The others were {number} minutes behind.
    The money goes to a school.
    """)
)
