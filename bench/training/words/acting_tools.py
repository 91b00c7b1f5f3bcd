"""Tools that do something."""

from bench.training.words.tool import Parameter, tool

TOOLS = (
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
