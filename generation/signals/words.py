"""Word lists of the signals: negations and number words, by language. Not reviewed by natives.

A word with a second common meaning is left out of a list (Asturian and Galician "no": in the;
Italian "sei": you are), so what is counted is a lower bound. A number has all its common forms in a
list or none: where one is listed, a translation without any has lost the number.
"""

NEGATIONS: dict[str, frozenset[str]] = {
    code: frozenset(words.split())
    for code, words in {
        "eng_Latn": "not no never none nobody nothing without neither nor cannot",
        "spa_Latn": "no nunca jamás nadie nada ningún ninguna ninguno ni sin tampoco",
        "por_Latn": "não nunca jamais ninguém nada nenhum nenhuma nem sem tampouco",
        "ita_Latn": "non mai nessuno nessuna nessun niente nulla né senza",
        "ast_Latn": "non nun nunca naide nada nengún nenguna nengunu nin ensin tampoco",
        "arg_Latn": "no nunca dengún denguna ni sin tampoco",
        "glg_Latn": "non nunca ninguén nada ningún ningunha nin sen tampouco",
        "oci_Latn": "non pas jamai degun res ni sens",
        "cat_Latn": "no mai ningú res ni sense tampoc",
        "ben_Beng": "না নয় নেই নাই নি",
        "hin_Deva": "नहीं न ना मत बिना",
        "urd_Arab": "نہیں نہ مت بغیر",
        "ind_Latn": "tidak tak bukan jangan tanpa belum",
    }.items()
}
"""Words that negate a clause or a thing."""

NEGATED_ENDINGS: dict[str, tuple[str, ...]] = {
    "eng_Latn": ("n't", "n’t"),
    # নি after the person endings of verbs: করিনি, করেনি, যায়নি, করেননি, যাওনি
    "ben_Beng": ("িনি", "ইনি", "েনি", "য়নি", "ননি", "ওনি"),
}
"""What a negated verb ends in."""

NOT_NEGATED: dict[str, frozenset[str]] = {
    "ben_Beng": frozenset({"তিনি", "যিনি", "ইনি", "চিনি", "কিনি", "কাহিনি"}),
}
"""Words that end so and negate nothing (she, who, this one, sugar, I buy, story)."""

NUMBER_WORDS: dict[str, dict[str, str]] = {
    code: {word: number for number, words in entries.items() for word in words.split()}
    for code, entries in {
        "eng_Latn": {"2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven",
                     "8": "eight", "9": "nine", "10": "ten", "12": "twelve", "20": "twenty",
                     "30": "thirty", "50": "fifty"},
        "spa_Latn": {"2": "dos", "3": "tres", "4": "cuatro", "5": "cinco", "6": "seis",
                     "7": "siete", "8": "ocho", "9": "nueve", "10": "diez", "12": "doce",
                     "20": "veinte", "30": "treinta", "50": "cincuenta"},
        "ita_Latn": {"2": "due", "3": "tre", "4": "quattro", "5": "cinque", "8": "otto",
                     "9": "nove", "10": "dieci", "12": "dodici", "30": "trenta",
                     "50": "cinquanta"},
        "ast_Latn": {"2": "dos dúes", "4": "cuatro", "5": "cinco", "6": "seis",
                     "7": "siete", "8": "ocho", "9": "nueve", "10": "diez", "12": "doce",
                     "20": "venti", "30": "trenta", "50": "cincuenta"},
        "arg_Latn": {"2": "dos duas", "3": "tres", "4": "quatro cuatro", "5": "cinco cinc",
                     "6": "seis sies", "7": "siet siete", "8": "ueito", "9": "nueu nueve",
                     "10": "diez", "12": "dotze doce", "20": "vinte veinte", "30": "trenta",
                     "50": "cinquanta cincuanta"},
        "glg_Latn": {"2": "dous dúas", "3": "tres", "4": "catro", "5": "cinco", "6": "seis",
                     "7": "sete", "8": "oito", "9": "nove", "10": "dez",
                     "20": "vinte", "30": "trinta", "50": "cincuenta"},
        "oci_Latn": {"2": "dos doas", "3": "tres", "4": "quatre", "5": "cinc", "6": "sièis",
                     "7": "sèt", "8": "uèch", "10": "dètz", "12": "dotze",
                     "20": "vint", "30": "trenta", "50": "cinquanta"},
        "cat_Latn": {"2": "dos dues", "3": "tres", "4": "quatre", "5": "cinc", "6": "sis",
                     "8": "vuit", "12": "dotze", "20": "vint",
                     "30": "trenta", "50": "cinquanta"},
    }.items()
}  # fmt: skip
"""Number words and their digits.

Left out beside "one", an article or a pronoun as well: Italian six (you are), seven (sects) and
twenty (winds), Asturian three (after), Galician twelve (sweet), Occitan nine (new), Catalan seven
(thirst), nine (new) and ten (must).
"""
