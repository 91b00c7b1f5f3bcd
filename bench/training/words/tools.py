"""Tools that a client may offer, and how people ask for what they do.

In a request `{city}` and the like are filled in by what `fills` says of the parameter; the value in
the call is the one in the request. A request without an optional parameter's slot leaves it out.
"""

from dataclasses import dataclass, field

from bench.training.words.listing import lines, words


@dataclass(frozen=True)
class Parameter:
    """`slot` stands in requests; `names` are what clients call it."""

    slot: str
    names: tuple[str, ...]
    kind: str = "string"
    fills: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Tool:
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...] = field(default=())


def _tool(names: str, descriptions: str, parameters: tuple[Parameter, ...], requests: str) -> Tool:
    return Tool(tuple(words(names)), tuple(lines(descriptions)), parameters, tuple(lines(requests)))


CITY = Parameter("city", ("city", "location", "place"), fills="city")
CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF", "CNY")

TOOLS = (
    _tool(
        "get_weather weather get_current_weather weather_in getWeather",
        """
        Get the current weather in a city.
        The weather in a city.
        """,
        (
            CITY,
            Parameter("unit", ("unit", "units"), "string", "", ("celsius", "fahrenheit"), False),
        ),
        """
        What is the weather in {city}?
        What's the weather like in {city}?
        How is the weather in {city} today?
        What is the weather in {city} in {unit}?
        Is it raining in {city}?
        Weather in {city}, please.
        Tell me the temperature in {city} in {unit}.
        """,
    ),
    _tool(
        "get_time current_time get_current_time time_in getTime",
        """
        Get the current time in a city.
        The local time in a city.
        """,
        (CITY,),
        """
        What time is it in {city}?
        What is the time in {city}?
        Tell me the time in {city}.
        What's the local time in {city}?
        """,
    ),
    _tool(
        "send_email email send_mail write_email sendEmail",
        """
        Send an email.
        Send an email to a person.
        """,
        (
            Parameter("person", ("to", "recipient", "address"), fills="address"),
            Parameter("text", ("body", "message", "text"), fills="text"),
        ),
        """
        Send an email to {person} saying "{text}".
        Email {person}: {text}
        Write an email to {person} with the text "{text}".
        Send {person} an email that says "{text}".
        """,
    ),
    _tool(
        "send_message text_message send_sms message sendMessage",
        """
        Send a text message.
        Send a short message to a person.
        """,
        (
            Parameter("person", ("to", "recipient", "contact"), fills="person"),
            Parameter("text", ("message", "text", "content"), fills="text"),
        ),
        """
        Send a message to {person} saying "{text}".
        Text {person}: {text}
        Tell {person} "{text}".
        Send {person} a message that says "{text}".
        """,
    ),
    _tool(
        "calculate calculator compute evaluate do_math",
        """
        Calculate an expression.
        Evaluate arithmetic.
        """,
        (Parameter("expression", ("expression", "formula"), fills="expression"),),
        """
        What is {expression}?
        Calculate {expression}.
        Compute {expression}.
        How much is {expression}?
        """,
    ),
    _tool(
        "search web_search search_web find_pages searchWeb",
        """
        Search the web.
        Find pages on the internet.
        """,
        (
            Parameter("topic", ("query", "q", "keywords"), fills="topic"),
            Parameter("count", ("limit", "max_results", "count"), "integer", "number", (), False),
        ),
        """
        Search the web for {topic}.
        Search for {topic}.
        Find {count} pages about {topic}.
        Look up {topic} on the internet.
        Search for {topic} and give me {count} results.
        """,
    ),
    _tool(
        "set_reminder remind create_reminder add_reminder setReminder",
        """
        Set a reminder.
        Remind the user of something at a time.
        """,
        (
            Parameter("errand", ("text", "what", "title"), fills="errand"),
            Parameter("time", ("time", "at", "when"), fills="time"),
        ),
        """
        Remind me to {errand} at {time}.
        Set a reminder to {errand} at {time}.
        At {time}, remind me to {errand}.
        """,
    ),
    _tool(
        "convert_currency currency exchange convert_money convertCurrency",
        """
        Convert money to another currency.
        Exchange rates between currencies.
        """,
        (
            Parameter("amount", ("amount", "value", "sum"), "number", "amount"),
            Parameter("source", ("from", "from_currency", "source"), choices=CURRENCIES),
            Parameter("target", ("to", "to_currency", "target"), choices=CURRENCIES),
        ),
        """
        Convert {amount} {source} to {target}.
        How much is {amount} {source} in {target}?
        What are {amount} {source} in {target}?
        Change {amount} {source} into {target}.
        """,
    ),
    _tool(
        "get_stock_price stock_price share_price quote getStockPrice",
        """
        Get the price of a stock.
        The current share price of a company.
        """,
        (Parameter("company", ("company", "symbol", "name"), fills="company"),),
        """
        What is the stock price of {company}?
        How much is a share of {company}?
        What is {company} trading at?
        Give me the share price of {company}.
        """,
    ),
    _tool(
        "translate translate_text translation translator translateText",
        """
        Translate a text.
        Translate text to a language.
        """,
        (
            Parameter("text", ("text", "sentence", "content"), fills="text"),
            Parameter("language", ("language", "target_language", "to"), fills="language"),
        ),
        """
        Translate "{text}" to {language}.
        How do you say "{text}" in {language}?
        What is "{text}" in {language}?
        """,
    ),
    _tool(
        "play_music play play_song music_player playMusic",
        """
        Play music by an artist.
        Play songs.
        """,
        (Parameter("person", ("artist", "singer", "musician"), fills="person"),),
        """
        Play something by {person}.
        Play music by {person}.
        I want to hear {person}.
        Put on some songs by {person}.
        """,
    ),
    _tool(
        "set_timer timer start_timer countdown setTimer",
        """
        Start a timer.
        Set a timer for some minutes.
        """,
        (Parameter("minutes", ("minutes", "duration", "length"), "integer", "number"),),
        """
        Set a timer for {minutes} minutes.
        Start a timer of {minutes} minutes.
        Wake me in {minutes} minutes.
        Timer for {minutes} minutes, please.
        """,
    ),
    _tool(
        "set_temperature thermostat heating set_heating setTemperature",
        """
        Set the temperature of a room.
        Control the heating of a room.
        """,
        (
            Parameter("room", ("room", "where"), fills="room"),
            Parameter("degrees", ("temperature", "degrees", "celsius"), "integer", "degrees"),
        ),
        """
        Set the {room} to {degrees} degrees.
        Heat the {room} to {degrees} degrees.
        Make it {degrees} degrees in the {room}.
        """,
    ),
    _tool(
        "set_light lights switch_light light_control switchLight",
        """
        Switch a light on or off.
        Control the lights of a room.
        """,
        (
            Parameter("room", ("room", "where"), fills="room"),
            Parameter("state", ("state", "action"), choices=("on", "off")),
        ),
        """
        Turn {state} the light in the {room}.
        Switch the light in the {room} {state}.
        Turn the {room} light {state}.
        """,
    ),
    _tool(
        "book_flight find_flight search_flights flights bookFlight",
        """
        Find a flight.
        Book a flight between two cities.
        """,
        (
            Parameter("city", ("from", "origin", "departure"), fills="city"),
            Parameter("destination", ("to", "destination", "arrival"), fills="city"),
            Parameter("day", ("day", "date", "when"), fills="day", required=False),
        ),
        """
        Book a flight from {city} to {destination}.
        Find a flight from {city} to {destination} on {day}.
        I want to fly from {city} to {destination}.
        I need a flight from {city} to {destination} on {day}.
        """,
    ),
    _tool(
        "book_table reserve_table restaurant_booking reservation bookTable",
        """
        Book a table at a restaurant.
        Reserve a table for some people.
        """,
        (
            Parameter("company", ("restaurant", "name", "place"), fills="company"),
            Parameter("people", ("people", "guests", "party_size"), "integer", "few"),
            Parameter("time", ("time", "at"), fills="time"),
        ),
        """
        Book a table for {people} at {company} at {time}.
        Reserve a table at {company} for {people} people at {time}.
        I need a table for {people} at {company} at {time}.
        """,
    ),
    _tool(
        "add_event create_event calendar schedule addEvent",
        """
        Add an event to the calendar.
        Put a meeting into the calendar.
        """,
        (
            Parameter("person", ("person", "with", "attendee"), fills="person"),
            Parameter("day", ("day", "date", "when"), fills="day"),
        ),
        """
        Schedule a meeting with {person} on {day}.
        Add a meeting with {person} on {day} to my calendar.
        I am meeting {person} on {day}, put it into my calendar.
        """,
    ),
    _tool(
        "call_person phone_call call dial callPerson",
        """
        Call a person.
        Make a phone call.
        """,
        (Parameter("person", ("name", "person", "contact"), fills="person"),),
        """
        Call {person}.
        Phone {person}, please.
        I want to talk to {person} on the phone.
        """,
    ),
    _tool(
        "get_population population count_people city_population getPopulation",
        """
        Get the population of a city.
        How many people live in a city.
        """,
        (CITY,),
        """
        How many people live in {city}?
        What is the population of {city}?
        Tell me the population of {city}.
        """,
    ),
    _tool(
        "add_item shopping_list add_to_list buy addItem",
        """
        Add to the shopping list.
        Put something on the shopping list.
        """,
        (
            Parameter("goods", ("item", "product", "name"), fills="goods"),
            Parameter("count", ("quantity", "count", "amount"), "integer", "number"),
        ),
        """
        Add {count} {goods} to my shopping list.
        Put {count} {goods} on the list.
        I need to buy {count} {goods}.
        """,
    ),
)

TOPICS = lines("""
cheap flights
jazz concerts
vegan recipes
used cars
running shoes
chess openings
python tutorials
hiking trails
electric bikes
garden plants
train tickets
old maps
wedding cakes
solar panels
guitar lessons
cat food
modern art
summer jobs
coffee machines
French grammar
black holes
sea turtles
board games
winter coats
""")

ERRANDS = lines("""
call the doctor
buy milk
feed the cat
water the plants
pay the rent
take out the trash
walk the dog
pick up the children
send the letter
close the window
wash the car
book the hotel
clean the kitchen
read the report
bake a cake
meet the teacher
""")

TEXTS = lines("""
I will be late
See you tomorrow
Happy birthday
The meeting is at noon
Good morning
Thank you for your help
Please call me back
I am on my way
The train is late
Dinner is ready
Where are you?
Good luck
I found the key
We are at home
The door is open
See you on Monday
I like your idea
The cat is sleeping
Congratulations
Do not wait for me
""")

ROOMS = ("kitchen", "bedroom", "bathroom", "office", "hall", "garage", "living room", "basement")
GOODS = ("apples", "eggs", "lemons", "onions", "bananas", "candles", "carrots", "tomatoes", "pens")
LANGUAGES = tuple(words("French German Spanish Italian Chinese Japanese Polish Dutch Greek Korean"))
CONDITIONS = ("sunny", "cloudy", "rainy", "windy", "snowy", "foggy", "cold", "warm")
