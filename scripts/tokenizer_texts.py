"""Texts that tell tokenizers apart: what the fixtures of scripts/tokenizer_fixtures.py and vocabulary_fixtures.py encode."""

SINGLES = [
    "",
    " ",
    "Hello world!",
    "  leading and trailing  ",
    "It's what they'd've said: we'll see, I'M sure.",
    "one\ntwo\r\n\n\tthree   four\u00a0five\u2003six\u3000seven",
    "naïve café Ångström ŒUVRE straße İstanbul ﬁn ｆｕｌｌ ½ ² Ⅷ",
    "e\u0301 n\u0303 combining; zero\u200bwidth\u200djoiner; soft\u00adhyphen",
    "日本語と中文 and 한국어 mixed, ไทย, العربية, עברית, हिन्दी",
    "emoji 😀👍🏽 👩‍👩‍👧‍👦 🇫🇷 ✈️ and 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙",
    "numbers 3.14159 1,000,000 0x1F 2024-01-02 10^-5 ٣٤٥",
    "http://example.com/path?a=1&b=%20#frag user@host.org C:\\dir\\file $100.00!!! ???",
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101 + " " + "ab" * 160,
    "punctuation ¡¿«»“”‘’–—…·•†‡§¶©®™°±×÷€£¥₿ ^ ` ~ | < > = + $",
    "special <s> tokens </s> inside <mask> and [MASK] [SEP] text<mask>glued",
    "next\u0085line and\ufeffmark \u2028 separators \u180e",
    "control \x01\x7f\x9f chars and a replacement \ufffd one",
    "UPPER lower MiXeD snake_case camelCase kebab-case",
    "don’t ‘quote’ it’s ’tis",
    "the quick brown fox jumps over the lazy dog " * 8,
]
PAIRS = [
    ("A man is dancing.", "A man is wearing a hard hat."),
    ("", "only the second"),
    ("only the first", ""),
    ("short", "the second one is much longer than the first one and is cut first, word by word, until it fits"),
    ("the first one is much longer than the second one and is cut first, word by word, until it fits", "short"),
    ("both of them are much too long to fit into what is left of the room there", "so both of them lose some of their tokens in the end 😀 日本"),
]
