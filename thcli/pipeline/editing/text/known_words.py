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
    **dict.fromkeys(("bloke", "businessman", "chap", "fellow", "gent", "lad"), (("male", 1.0),)),
    "businesswoman": (("female", 1.0),),
    **dict.fromkeys(("teen", "teenager"), (("young", 1.0),)),
    **dict.fromkeys(("grandfather", "grandpa", "granddad"), (("male", 1.0), ("old", 1.0))),
    **dict.fromkeys(("grandmother", "grandma", "granny"), (("female", 1.0), ("old", 1.0))),
}
"""Nouns that name the person: an edit only where the text has nothing else."""
_SHAPE = "The colour of hair can be edited, its shape cannot."
BODY = "Faces are edited, bodies are not."
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
    "short haired": _SHAPE,
    "long haired": _SHAPE,
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
    "middle aged": "Ages have degrees: slightly older, slightly younger.",
    "tall": BODY,
    "baby": "younger makes a face younger.",
    "toddler": "younger makes a face younger.",
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
FRAME_SHAPES: Mapping[str, str] = {
    "round": "round",
    "rounded": "round",
    "circular": "round",
    "square": "square",
    "squared": "square",
    "rectangular": "square",
    "aviator": "aviator",
    "pilot": "aviator",
}
"""Word before glasses -> shape of their frame."""
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
    "bright": 1.0,
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
REPLACES = frozenset(("replace", "replacing", "swap", "swap out", "exchange"))
"""Orders to put one thing in the place of another."""
REMOVALS = (
    frozenset(
        split_words(
            "remove removing minus take taking rid lose losing drop delete erase shave shaving "
            "strip"
        )
    )
    | {"turn off", "switch off"}
    | REPLACES
)
"""Negations that are orders: what follows them goes."""
LASTING = REMOVALS | frozenset(
    split_words("without no neither dont doesnt didnt shouldnt wont cannot cant instead never")
)
"""Negations of a list, up to the next clause or noun; the others negate one thing."""
NEGATIONS = LASTING | frozenset(split_words("not isnt arent hasnt havent stop"))
CLAUSES = frozenset(
    split_words(
        "who but with has have having is add adding wear wears wearing make makes making give "
        "gives giving put change changing transform convert show try for he she they i look looks "
        "let turn dye paint colour color grow while then"
    )
)
"""Words that begin a clause, which a negation does not reach."""
ORDERS = REMOVALS | frozenset(
    split_words(
        "add adding make makes making give gives giving put let turn change changing transform "
        "convert dye paint show try"
    )
)
"""Words that order a change: who is named behind them is the person before the change."""
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
