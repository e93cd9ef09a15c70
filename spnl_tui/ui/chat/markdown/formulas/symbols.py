"""The macros, symbols and brackets of formulas."""

from __future__ import annotations

ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "bar": "\u0304", "overline": "\u0305", "underline": "\u0332",
    "vec": "\u20d7", "overrightarrow": "\u20d7", "dot": "\u0307", "ddot": "\u0308", "tilde": "\u0303",
    "widetilde": "\u0303", "check": "\u030c", "breve": "\u0306", "acute": "\u0301", "grave": "\u0300",
    "mathring": "\u030a",
}  # fmt: skip
"""Combining characters of accents."""
ALPHABETS = {"mathbb": "DOUBLE-STRUCK", "mathcal": "SCRIPT", "mathscr": "SCRIPT", "mathfrak": "FRAKTUR"}
"""Parts of the Unicode names of letters."""
PLAIN = frozenset((
    "mathrm", "mathbf", "mathit", "mathsf", "mathtt", "boldsymbol", "bm", "text", "textrm", "textbf",
    "textit", "textsf", "texttt", "mbox", "emph", "operatorname", "boxed", "hbox", "substack", "smash",
    "mathop", "mathrel", "mathbin", "mathord",
))  # fmt: skip
"""Macros that only change the look of their argument."""
IGNORED = frozenset((
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr",
    "Biggl", "Biggr", "middle", "limits", "nolimits", "displaystyle", "textstyle", "scriptstyle",
    "nonumber", "notag", "allowbreak", "rm", "bf", "it", "mathstrut", "strut",
))  # fmt: skip
DROPPED = frozenset((
    "label", "vphantom", "hphantom", "phantom", "hline",
))  # fmt: skip
"""Macros that disappear with their argument."""
SPACES = {
    "!": "", ",": " ", ":": " ", ";": " ", " ": " ", "quad": "  ", "qquad": "    ", "enspace": " ",
    "thinspace": " ", "medspace": " ", "thickspace": " ", "hspace": " ", "vspace": " ",
}  # fmt: skip
SYMBOLS = {
    "implies": "⟹", "iff": "⟺", "impliedby": "⟸", "to": "→", "gets": "←", "colon": ":", "ldots": "…",
    "dots": "…", "cdots": "⋯", "vdots": "⋮", "ddots": "⋱", "dotsc": "…", "dotsb": "⋯", "mid": "|",
    "vert": "|", "lvert": "|", "rvert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "|": "‖",
    "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "{": "{",
    "}": "}", "%": "%", "$": "$", "&": "&", "#": "#", "_": "_", "backslash": "\\", "prime": "′",
    "degree": "°", "lbrace": "{", "rbrace": "}", "land": "∧", "lor": "∨", "lnot": "¬", "neg": "¬",
    "emptyset": "∅", "varnothing": "∅", "complement": "∁", "square": "□", "blacksquare": "■",
    "Box": "□", "triangle": "△", "angle": "∠", "therefore": "∴", "because": "∵", "hbar": "ℏ",
    "ell": "ℓ", "Re": "ℜ", "Im": "ℑ", "aleph": "ℵ", "wp": "℘", "epsilon": "ε", "phi": "φ", "lt": "<",
    "ne": "≠", "gt": ">", "bmod": "mod", "iint": "∬", "iiint": "∭", "oint": "∮", "xrightarrow": "→",
    "xleftarrow": "←", "longrightarrow": "⟶", "longleftarrow": "⟵", "checkmark": "✓", "dagger": "†",
    "ddagger": "‡", "coloneqq": "≔", "triangleq": "≜", "models": "⊨", "vdash": "⊢", "bullet": "•",
    "star": "⋆", "ast": "∗", "cdotp": "·", "cdot": "·", "setminus": "∖", "parallel": "∥", "perp": "⊥",
    "lesssim": "≲", "gtrsim": "≳", "ll": "≪", "gg": "≫", "propto": "∝", "top": "⊤", "bot": "⊥",
    "bigcup": "⋃", "bigcap": "⋂", "bigoplus": "⨁", "bigotimes": "⨂", "coprod": "∐", "nexists": "∄",
    "mapsto": "↦", "hookrightarrow": "↪", "rightleftharpoons": "⇌", "uparrow": "↑", "downarrow": "↓",
    "updownarrow": "↕", "nmid": "∤", "notin": "∉", "subsetneq": "⊊", "supsetneq": "⊋",
    "trianglelefteq": "⊴", "ltimes": "⋉", "rtimes": "⋊", "wedge": "∧", "vee": "∨", "leqslant": "≤",
    "geqslant": "≥", "sqcup": "⊔", "sqcap": "⊓", "odot": "⊙", "ominus": "⊖", "oslash": "⊘",
    "rightsquigarrow": "⇝", "upharpoonright": "↾", "smallsetminus": "∖", "nabla": "∇", "digamma": "ϝ",
}  # fmt: skip
"""Symbols that pylatexenc lacks or writes in another way."""
FUNCTIONS = frozenset((
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "coth", "exp", "log", "ln", "lg", "lim", "limsup", "liminf", "max", "min", "sup", "inf", "det",
    "dim", "ker", "deg", "gcd", "lcm", "hom", "arg", "Pr", "argmax", "argmin", "sgn", "tr", "rank",
    "diag", "Var", "Cov",
))  # fmt: skip
SPACED = frozenset("·∗⋆•×÷±∓")
"""Operators that Unicode does not count as mathematical symbols."""
CLOSE = frozenset("|¬°·‖…′ℏℵ∀∁∂∃∄∅∇∏∐∑√∛∜∞∠∫∬∭∮⊤⋂⋃⋮⋯⋱⌈⌉⌊⌋■□△⟨⟩⨁⨂")
"""Mathematical symbols that need no spaces around them."""
MATRICES = {
    "matrix": "  ", "smallmatrix": "  ", "array": "  ", "pmatrix": "()", "bmatrix": "[]",
    "Bmatrix": "{}", "vmatrix": "||", "Vmatrix": "‖‖", "cases": "{ ", "dcases": "{ ", "rcases": " }",
}  # fmt: skip
"""The brackets of environments with cells."""
TALL = {
    "(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦", "{": "⎧⎨⎩", "}": "⎫⎬⎭", "|": "│││", "‖": "‖‖‖",
    " ": "   ",
}  # fmt: skip
"""Brackets of several lines: top, middle and bottom (U+239B to U+23AD)."""
