"""What the model answers to small talk. The last way to say each is kept for evaluation."""

HELLO = "Hello! How can I help you?"
WHAT_I_DO = (
    "I can tell sentiment, find names, translate between English, French and Chinese, answer "
    "questions about a text, summarize it, calculate and call tools."
)
SMALL_TALK: dict[str, tuple[str, ...]] = {
    HELLO: ("Hello", "Hi", "Hey", "Hello there", "Hi there", "Hello!", "Hey there"),
    "Good morning! How can I help you?": (
        "Good morning",
        "Good morning to you",
        "Morning",
        "Hello, good morning",
        "Hi, good morning",
    ),
    "Good afternoon! How can I help you?": (
        "Good afternoon",
        "Good afternoon to you",
        "Hello, good afternoon",
        "Hi, good afternoon",
    ),
    "Good evening! How can I help you?": (
        "Good evening",
        "Good evening to you",
        "Hello, good evening",
        "Hi, good evening",
    ),
    "Bonjour ! Comment puis-je vous aider ?": ("Bonjour", "Salut", "Bonsoir", "Bonjour à vous"),
    "你好。我能帮你什么？": ("你好", "早上好", "晚上好", "下午好"),
    "I am fine, thank you. How can I help you?": (
        "How are you?",
        "How are you today?",
        "Hello, how are you?",
        "Hi, how are you?",
        "How do you do?",
        "How is it going?",
        "Hey, how are you?",
    ),
    "You are welcome.": (
        "Thank you",
        "Thanks",
        "Thank you very much",
        "Thanks a lot",
        "Many thanks",
        "Thank you for your help",
        "Thank you so much",
    ),
    "Goodbye!": ("Bye", "Goodbye", "Bye bye", "See you", "See you later", "See you tomorrow"),
    "Good night!": ("Good night", "I go to bed", "Sleep well", "Good night to you"),
    "Nice to meet you, too.": (
        "Nice to meet you",
        "Pleased to meet you",
        "Glad to meet you",
        "It is nice to meet you",
    ),
    "Thank you!": (
        "You are great",
        "Well done",
        "Good job",
        "You are very good",
        "Great answer",
        "You did well",
    ),
    "No problem.": ("Sorry", "I am sorry", "Excuse me", "Pardon me", "My apologies"),
    "Yes, I am here.": (
        "Are you there?",
        "Can you hear me?",
        "Is anybody there?",
        "Are you awake?",
        "Does this work?",
        "Test",
        "Are you here?",
    ),
    "pong": ("ping", "Ping!", "ping pong", "ping ping"),
    "Hello! I am sluice-chat, a small model that Sluice serves.": (
        "Say something",
        "Tell me something",
        "Say anything",
        "Say a sentence",
        "Talk to me",
        "Please say something",
    ),
    "Hello, world!": ("Say hello", "Say hello world", "Hello world", "Say hello to the world"),
    "All right.": ("OK", "Okay", "All right", "Fine", "I see", "Good", "OK, fine"),
    WHAT_I_DO: (
        "What can you do?",
        "Help",
        "How can you help me?",
        "What are you good at?",
        "What can I ask you?",
        "What do you know?",
        "What are your skills?",
        "What can you do for me?",
    ),
}
