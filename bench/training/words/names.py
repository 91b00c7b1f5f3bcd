"""Names of people, places and organizations."""

from bench.training.words.listing import names, words

FIRST_NAMES = words("""
Alice Bob Carol David Emma Frank Grace Henry Irene Jack Kate Liam Maria Nathan Olivia Paul Quentin
Rachel Samuel Tina Ursula Victor Wendy Xavier Yvonne Zoe Adam Barbara Charles Diana Edward Fiona
George Hannah Ian Julia Kevin Laura Martin Nora Oscar Patricia Robert Sarah Thomas Valerie Walter
Anna Ben Claire Daniel Elena Felix Gabriel Helen Isabel James Karen Lucas Monica Nicholas Paula
Richard Simon Teresa Vincent William Amelia Bruno Chloe Dominic Eva Florence Gustav Hugo Ingrid
Jonas Katarina Leo Mia Noah Otto Petra Rosa Stefan Tom Vera Yusuf Aisha Carlos Dmitri Esther Fatima
Goran Hiro Ibrahim Jing Kofi Lars Mei Nadia Omar Priya Rashid Sofia Tariq Uma Wei Yuki Zara Anders
Bianca Camille Diego Elif Fernando Giulia Henrik Ines Jorge Kamal Leila Mateo Nikolai Olga Pablo
Raj Sanjay Tomas Viktor Wanda Yasmin Ahmed Beatrice Cyril Delphine Erik Freya Gloria Hassan Ivan
Joanna Kenji Louise Marco Nina Oliver Peter Ruth Stella Theo Vivian Arthur Bridget Clara Derek
Edith Fred Gina Harold Iris Jasper Kylie Lydia Mabel Ned Opal Phoebe Ralph Sylvia Trevor Una Violet
Zachary
""")

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
