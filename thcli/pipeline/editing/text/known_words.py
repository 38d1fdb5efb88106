"""Words that descriptions are read by: nouns, synonyms, things, degrees, negations."""

from __future__ import annotations

from collections.abc import Mapping

from thcli.editors.clip.vocabulary import split_words

Meaning = tuple[str, float]  # attribute and strength

NOUNS: Mapping[str, tuple[Meaning, ...]] = {
    "man": (("male", 1.0),),
    "male": (("male", 1.0),),
    "guy": (("male", 1.0),),
    "gentleman": (("male", 1.0),),
    "boy": (("male", 1.0), ("young", 1.0)),
    "woman": (("female", 1.0),),
    "female": (("female", 1.0),),
    "lady": (("female", 1.0),),
    "girl": (("female", 1.0), ("young", 1.0)),
    "dude": (("male", 1.0),),
    "men": (("male", 1.0),),
    "women": (("female", 1.0),),
}
"""Nouns that name the person: an edit only where the text has nothing else."""
SYNONYMS: Mapping[str, Meaning] = {
    "tanned": ("pale", -1.0),
    "tan": ("pale", -1.0),
    "suntanned": ("pale", -1.0),
    "sun tanned": ("pale", -1.0),
    "tanned skin": ("pale", -1.0),
    "a tan": ("pale", -1.0),
    "clean shaven": ("beard", -1.0),
    "shaven": ("beard", -1.0),
    "shaved": ("beard", -1.0),
    "unshaven": ("stubble", 1.0),
    "stubbly": ("stubble", 1.0),
    "moustached": ("moustache", 1.0),
    "laughing": ("smiling", 1.5),
    "laughs": ("smiling", 1.5),
    "grinning": ("smiling", 1.5),
    "smiles": ("smiling", 1.0),
    "cheerful": ("smiling", 1.0),
    "serious": ("smiling", -1.0),
    "unsmiling": ("smiling", -1.0),
    "a serious look": ("smiling", -1.0),
    "elderly": ("old", 1.0),
    "wrinkled": ("old", 1.0),
    "wrinkles": ("old", 1.0),
    "youthful": ("young", 1.0),
    "bespectacled": ("eyeglasses", 1.0),
    "spectacled": ("eyeglasses", 1.0),
    "whiskers": ("sideburns", 1.0),
    "made up": ("makeup", 1.0),
    "makeup": ("makeup", 1.0),
    "thin": ("chubby", -1.0),
    "slim": ("chubby", -1.0),
    "round faced": ("chubby", 1.0),
    "a round face": ("chubby", 1.0),
    "a chubby face": ("chubby", 1.0),
    "beautiful": ("attractive", 1.0),
    "thin lips": ("big_lips", -1.0),
    "small lips": ("big_lips", -1.0),
    "thick lips": ("big_lips", 1.0),
    "a large nose": ("big_nose", 1.0),
    "a small nose": ("big_nose", -1.0),
    "a pointed nose": ("pointy_nose", 1.0),
    "small eyes": ("narrow_eyes", 1.0),
    "red cheeks": ("rosy_cheeks", 1.0),
    "pink cheeks": ("rosy_cheeks", 1.0),
    "rosy cheeked": ("rosy_cheeks", 1.0),
    "white skin": ("pale", 1.0),
    "fair skin": ("pale", 1.0),
    "dark sunglasses": ("sunglasses", 1.0),
    "red lips": ("lipstick", 1.0),
    "red lipstick": ("lipstick", 1.0),
    "fair haired": ("blond", 1.0),
    "dark haired": ("black_hair", 1.0),
    "blond haired": ("blond", 1.0),
    "blonde haired": ("blond", 1.0),
    "black haired": ("black_hair", 1.0),
    "brown haired": ("brown_hair", 1.0),
    "gray haired": ("gray_hair", 1.0),
    "grey haired": ("gray_hair", 1.0),
    "white haired": ("gray_hair", 1.0),
    "red haired": ("red_hair", 1.0),
    "redheaded": ("red_hair", 1.0),
    "a bald head": ("bald", 1.0),
    "a cap": ("hat", 1.0),
    "cap": ("hat", 1.0),
    "curly haired": ("wavy_hair", 1.0),
    "an open mouth": ("mouth_open", 1.0),
    "the mouth open": ("mouth_open", 1.0),
    "open lips": ("mouth_open", 1.0),
    "sun glasses": ("sunglasses", 1.0),
    "eye glasses": ("eyeglasses", 1.0),
    "reading glasses": ("eyeglasses", 1.0),
    "specs": ("eyeglasses", 1.0),
    "blushing": ("rosy_cheeks", 1.0),
    "lip stick": ("lipstick", 1.0),
    "laugh": ("smiling", 1.5),
    "grin": ("smiling", 1.5),
    "happier": ("smiling", 1.0),
    "shave him": ("beard", -1.0),
    "beard shaved": ("beard", -1.0),
    "unbearded": ("beard", -1.0),
    "beardless": ("beard", -1.0),
    "dark beard": ("beard#2a1d14", 1.0),
    "dark lipstick": ("lipstick#6b1a2a", 1.0),
    "wrinkly": ("old", 1.0),
    "aging": ("old", 1.0),
    "fewer wrinkles": ("young", 1.0),
    "paler": ("pale", 1.0),
    "lighter skin": ("pale", 1.0),
    "browner skin": ("pale", -1.0),
    "thinner": ("chubby", -1.0),
    "slimmer": ("chubby", -1.0),
    "thin face": ("chubby", -1.0),
    "fatter": ("chubby", 1.0),
    "chubbier": ("chubby", 1.0),
    "plumper": ("chubby", 1.0),
    "prettier": ("attractive", 1.0),
    "manly": ("male", 1.0),
    "womanly": ("female", 1.0),
    "fuller lips": ("big_lips", 1.0),
    "bigger lips": ("big_lips", 1.0),
    "thicker lips": ("big_lips", 1.0),
    "thinner lips": ("big_lips", -1.0),
    "smaller lips": ("big_lips", -1.0),
    "redder lips": ("lipstick", 1.0),
    "bigger nose": ("big_nose", 1.0),
    "larger nose": ("big_nose", 1.0),
    "wider nose": ("big_nose", 1.0),
    "broader nose": ("big_nose", 1.0),
    "smaller nose": ("big_nose", -1.0),
    "thinner nose": ("big_nose", -1.0),
    "narrower nose": ("big_nose", -1.0),
    "pointier nose": ("pointy_nose", 1.0),
    "narrower eyes": ("narrow_eyes", 1.0),
    "smaller eyes": ("narrow_eyes", 1.0),
    "big eyes": ("narrow_eyes", -1.0),
    "bigger eyes": ("narrow_eyes", -1.0),
    "tired eyes": ("bags_under_eyes", 1.0),
    "thicker eyebrows": ("bushy_eyebrows", 1.0),
    "bushier eyebrows": ("bushy_eyebrows", 1.0),
    "thinner eyebrows": ("bushy_eyebrows", -1.0),
    "rosier cheeks": ("rosy_cheeks", 1.0),
    "darker hair": ("black_hair", 1.0),
    "light hair": ("blond", 1.0),
    "lighter hair": ("blond", 1.0),
    "greyer hair": ("gray_hair", 1.0),
    "grayer hair": ("gray_hair", 1.0),
}
_SHAPE = "The colour of hair can be edited, its shape cannot."
_REENACT = "thcli reenact VIDEO --expression {} does it."
IMPOSSIBLE: Mapping[str, str] = {
    "necklace": "",
    "necktie": "",
    "tie": "",
    "earring": "",
    "freckles": "",
    "scar": "",
    "tattoo": "",
    "sad": _REENACT.format("sad"),
    "angry": _REENACT.format("angry"),
    "surprised": _REENACT.format("surprised"),
    "kissing": _REENACT.format("kiss"),
    "winking": _REENACT.format("wink"),
    "frowning": _REENACT.format("angry"),
    "disgusted": "",
    "scared": "",
    "crying": "",
    "teeth": "",
    "long hair": _SHAPE,
    "longer hair": _SHAPE,
    "short hair": _SHAPE,
    "shorter hair": _SHAPE,
    "curly": _SHAPE,
    "curls": _SHAPE,
    "haircut": _SHAPE,
    "ponytail": _SHAPE,
    "blurry": "",
    "closed mouth": "smiling=-1 makes a face serious.",
    "mouth closed": "smiling=-1 makes a face serious.",
    "closed lips": "smiling=-1 makes a face serious.",
    "shaved head": _SHAPE,
    "shaven head": _SHAPE,
    "head shaved": _SHAPE,
    "shave head": _SHAPE,
    "shave his head": _SHAPE,
    "shave her head": _SHAPE,
    "shave the head": _SHAPE,
    "pale lips": "A colour of the lips: lipstick=#RRGGBB.",
    "dark skin": "tanned makes skin browner.",
    "darker skin": "tanned makes skin browner.",
    "eyes": "",
    "hair": "Name the colour that the hair gets: red hair.",
    "lips": "Name the colour (pink lips) or the shape (full lips) that they get.",
    "child": "younger makes a face younger.",
    "kid": "younger makes a face younger.",
    "keep": "What is not named stays as it is.",
    "years": "Ages have degrees: slightly, much or very older.",
}
"""Known things that no engine does -> what can be done instead."""
THINGS: Mapping[str, str] = {
    "hair": "hair",
    "lipstick": "lipstick",
    "lips": "lipstick",
    "beard": "beard",
    "moustache": "moustache",
    "mustache": "moustache",
    "goatee": "goatee",
    "glasses": "eyeglasses",
    "eyeglasses": "eyeglasses",
    "spectacles": "eyeglasses",
    "frames": "eyeglasses",
}
"""Thing -> attribute that can have any colour."""
COLOURLESS = tuple(
    split_words("eyes eye eyed skin skinned hat cap teeth shirt sunglasses eyebrows brows haired")
)
"""Things whose colour no engine changes."""
TONES = ("dark", "light", "bright", "deep", "pale")
FRAMED = ("rimmed", "framed", "dyed", "coloured", "colored")
"""Words between a colour and its thing: "black-rimmed glasses"."""
ADVERBS: Mapping[str, float] = {
    "slightly": 0.5,
    "a little": 0.5,
    "a little bit": 0.5,
    "a bit": 0.5,
    "a tiny bit": 0.3,
    "a touch of": 0.5,
    "a hint of": 0.5,
    "somewhat": 0.5,
    "half": 0.5,
    "barely": 0.3,
    "faintly": 0.5,
    "subtly": 0.5,
    "lightly": 0.5,
    "quite": 1.0,
    "rather": 1.0,
    "naturally": 1.0,
    "much": 1.5,
    "a lot": 1.5,
    "a lot of": 1.5,
    "far": 1.5,
    "way": 1.5,
    "very": 1.5,
    "very much": 1.5,
    "really": 1.5,
    "too": 1.0,
    "strongly": 1.5,
    "heavily": 1.5,
    "broadly": 1.5,
    "deeply": 1.5,
    "more": 1.0,
    "less": -1.0,
    "fewer": -1.0,
    "extremely": 2.0,
}
"""Degrees of what follows; at the end of a part ("smile a bit") of what stands before."""
ADJECTIVES: Mapping[str, float] = {
    "faint": 0.5,
    "slight": 0.5,
    "subtle": 0.5,
    "light": 0.5,
    "lighter": 0.5,
    "little": 0.5,
    "small": 0.5,
    "tiny": 0.5,
    "thin": 0.5,
    "thinner": 0.5,
    "short": 0.5,
    "shorter": 0.5,
    "trimmed": 0.5,
    "natural": 1.0,
    "full": 1.0,
    "fuller": 1.5,
    "strong": 1.5,
    "stronger": 1.5,
    "big": 1.5,
    "bigger": 1.5,
    "large": 1.5,
    "larger": 1.5,
    "huge": 2.0,
    "broad": 1.5,
    "broader": 1.5,
    "wide": 1.5,
    "wider": 1.5,
    "long": 1.5,
    "longer": 1.5,
    "thick": 1.5,
    "thicker": 1.5,
    "bushy": 1.5,
    "heavy": 1.5,
    "heavier": 1.5,
}
"""Degrees of the thing behind them, of which a negation takes no notice ("no heavy beard")."""
SHAPES = frozenset(
    split_words(
        "thin thinner short shorter trimmed full fuller big bigger large larger huge broad broader "
        "wide wider long longer thick thicker bushy small tiny"
    )
)
"""Adjectives that are no degree of hair or coloured lips: "long brown hair" is refused."""
REMOVALS = frozenset(
    split_words(
        "remove removing minus take taking rid lose losing drop delete erase shave shaving strip"
    )
) | {"turn off", "switch off"}
"""Negations that are orders: what follows them goes."""
LASTING = REMOVALS | frozenset(
    split_words("without no neither dont doesnt didnt shouldnt wont cannot cant instead never")
)
"""Negations of a list, up to the next clause or noun; the others negate one thing."""
NEGATIONS = LASTING | frozenset(split_words("not isnt arent hasnt havent stop"))
CLAUSES = frozenset(
    split_words(
        "who but with has have having is add adding wear wears wearing make makes making give "
        "gives giving put he she they i look looks let turn dye paint colour color grow while then"
    )
)
"""Words that begin a clause, which a negation does not reach."""
VERBS = frozenset(("smile", "laugh", "grin"))  # orders, too: "take off the glasses, smile"
STATES = frozenset(
    split_words(
        "smiling happy happier cheerful laughing grinning serious unsmiling young younger youthful "
        "old older elderly aged aging wrinkled wrinkly tanned suntanned pale paler tired bearded "
        "unbearded beardless unshaven shaved shaven moustached brunette redheaded chubby chubbier "
        "plump plumper fat fatter thin thinner slim slimmer masculine feminine manly womanly "
        "attractive pretty prettier handsome beautiful bespectacled smiles laughs blushing"
    )
)
"""Words that say what somebody is like: "no glasses, older" takes only the glasses away."""
