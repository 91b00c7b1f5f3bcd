"""Tools that tell something."""

from bench.training.words.tool import CITY, Parameter, tool

CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF", "CNY")

TOOLS = (
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
    tool(
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
)
