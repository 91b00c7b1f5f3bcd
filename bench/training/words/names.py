"""Names of people, places and organizations."""

from bench.training.words.listing import names, words

WOMEN = words("""
Alice Carol Emma Grace Irene Kate Maria Olivia Rachel Tina Ursula Wendy Yvonne Zoe Barbara Diana
Fiona Hannah Julia Laura Nora Patricia Sarah Valerie Anna Claire Elena Helen Isabel Karen Monica
Paula Teresa Amelia Chloe Eva Florence Ingrid Katarina Mia Petra Rosa Vera Aisha Esther Fatima Jing
Mei Nadia Priya Sofia Uma Yuki Zara Bianca Camille Elif Giulia Ines Leila Olga Wanda Yasmin
Beatrice Delphine Freya Gloria Joanna Louise Nina Ruth Stella Vivian Bridget Clara Edith Gina Iris
Kylie Lydia Mabel Opal Phoebe Sylvia Una Violet
""")

MEN = words("""
Bob David Frank Henry Jack Liam Nathan Paul Quentin Samuel Victor Xavier Adam Charles Edward George
Ian Kevin Martin Oscar Robert Thomas Walter Ben Daniel Felix Gabriel James Lucas Nicholas Richard
Simon Vincent William Bruno Dominic Gustav Hugo Jonas Leo Noah Otto Stefan Tom Yusuf Carlos Dmitri
Goran Hiro Ibrahim Kofi Lars Omar Rashid Tariq Wei Anders Diego Fernando Henrik Jorge Kamal Mateo
Nikolai Pablo Raj Sanjay Tomas Viktor Ahmed Cyril Erik Hassan Ivan Kenji Marco Oliver Peter Theo
Arthur Derek Fred Harold Jasper Ned Ralph Trevor Zachary
""")

FIRST_NAMES = WOMEN + MEN

SURNAMES = words("""
Adams Baker Carter Dixon Evans Foster Graham Harris Irving Jackson Keller Lopez Miller Nolan Owens
Parker Quinn Roberts Stewart Turner Underwood Vance Walker Young Zimmerman Anderson Brooks Collins
Dalton Edwards Fischer Garcia Hughes Ibsen Jensen Kowalski Larsen Morris Novak Olsen Petrov Ramirez
Schmidt Taylor Usher Vargas Watson Yamada Ziegler Abbott Becker Chen Dubois Eriksson Fontaine
Gomez Hansen Ivanov Johansson Kim Lambert Moreau Nakamura Okafor Patel Rossi Singh Tanaka Ueda
Visser Wang Yilmaz Zhang Ali Bauer Costa Diaz Ekwueme Ferrari Gupta Haddad Ito Jovanovic Khan
Laurent Mensah Nguyen Oliveira Papadopoulos Reyes Santos Torres Vogel Weber Xu Yang Zhou Ashford
Bennett Clarke Doyle Ellis Fraser Gibson Holloway Ingram Jennings Kendall Lawson Murphy Norton
Osborne Palmer Reed Sinclair Thornton Vaughan Wheeler Yates Atkinson Blackwood Crawford Dawson
Eastman Fletcher Goodwin Hartley Jarvis Kirby Lowell Maddox Newman Oakley Prescott Ridley Sheldon
Tucker Upton Vickers Whitman Archer Barlow Chandler Davenport Elliott Finch Gallagher Hobbs
""")

CITIES = names("""
Paris, London, Berlin, Madrid, Rome, Lisbon, Vienna, Prague, Warsaw, Dublin, Oslo, Stockholm,
Helsinki, Copenhagen, Amsterdam, Brussels, Athens, Budapest, Bucharest, Zagreb,
Belgrade, Geneva, Zurich, Milan, Venice, Naples, Turin, Barcelona, Seville,
Valencia, Porto, Lyon, Marseille, Bordeaux, Nantes, Toulouse, Munich, Hamburg, Cologne, Frankfurt,
Dresden, Leipzig, Edinburgh, Glasgow, Manchester, Liverpool, Bristol, Oxford, Cambridge, Leeds,
Tokyo, Osaka, Kyoto, Seoul, Busan, Beijing, Shanghai, Shenzhen, Chengdu, Taipei, Hanoi, Bangkok,
Singapore, Jakarta, Manila, Delhi, Mumbai, Chennai, Karachi, Lahore, Dhaka, Tehran, Baghdad,
Cairo, Tunis, Algiers, Casablanca, Dakar, Accra, Lagos, Nairobi, Kampala, Lusaka, Johannesburg,
Cape Town, New York, Boston, Chicago, Denver, Seattle, Portland, Houston, Dallas, Miami, Atlanta,
Toronto, Montreal, Vancouver, Ottawa, Mexico City, Havana, Bogota, Lima, Quito, Santiago,
Buenos Aires, Montevideo, Sao Paulo, Caracas, Sydney, Melbourne, Brisbane, Perth, Auckland,
Wellington, San Francisco, Los Angeles, Philadelphia, Phoenix, Detroit, Memphis, Nashville,
Baltimore, Minneapolis, Pittsburgh, Cleveland, Istanbul, Ankara, Tbilisi, Riga, Tallinn, Vilnius,
Minsk, Kyiv, Moscow, Reykjavik, Valletta, Luxembourg, Monaco, Salzburg, Graz, Ghent, Antwerp,
Rotterdam, Utrecht, Aarhus, Bergen, Malmo, Tampere, Gdansk, Krakow, Brno, Split, Bilbao, Granada
""")

COUNTRIES = names("""
France, Germany, Spain, Italy, Portugal, Austria, Poland, Ireland, Norway, Sweden, Finland,
Denmark, Belgium, Greece, Hungary, Romania, Bulgaria, Croatia, Switzerland, Japan, China, India,
Vietnam, Thailand, Indonesia, Egypt, Morocco, Ghana, Kenya, Nigeria, Canada, Mexico, Cuba, Peru,
Chile, Argentina, Brazil, Australia, New Zealand, Turkey, Iceland, Estonia, Latvia, Lithuania
""")

COMPANIES = words("""
Acme Northwind Contoso Globex Initech Bluebird Redwood Silverline Brightwater Ironbridge Clearview
Stonegate Evergreen Sunrise Moonlight Starlight Westfield Eastgate Highland Lakeside Riverside
Oakwood Pinecrest Goldleaf Skyline Horizon Summit Pioneer Vertex Quantum Nimbus Zenith Apex Orbit
Pulsar Nebula Comet Aurora Meridian Polaris Atlas Titan Vulcan Neptune Phoenixworks Falcon Kestrel
Osprey Heron Lynx Panther Bison Marlin Coral Ember Cascade Granite Cobalt Onyx Topaz Beacon Anchor
Compass Lantern Harvest Orchard Meadow Willow Juniper Saffron Lumen Novatek Omnitech Datacore
Netwise Softgrid Cybex Robotica Medivia Agrova Solaris Hydra Terranova Finlux Paywell Lendora
Tradeon Cargolink Shipwell Aerolux Motoria Voltix Chargeon
""")

SUFFIXES = names("""
Corp, Inc, Bank, Group, Labs, University, Institute, Foundation, Airlines, Motors, Foods, Systems,
Energy, Media, Hospital, Insurance, Software, Records, Books, Partners
""")
