"""Strings of every kind for check_tokenizer.py, the same at every run.

corpus() gives (category, texts); a text is a str, or bytes where it is not UTF-8.
"""
import random

# A red apple lies on the table, in many languages.
LANGUAGES = {
    "English": "A red apple lies on the old table, isn't it?", "German": "Ein roter Apfel liegt auf dem großen Tisch.",
    "French": "Une pomme rouge est posée sur la vieille table.", "Spanish": "Una manzana roja está sobre la mesa, ¿no?",
    "Portuguese": "Uma maçã vermelha está em cima da mesa.", "Italian": "Una mela rossa è sul tavolo vecchio.",
    "Dutch": "Een rode appel ligt op de oude tafel.", "Danish": "Et rødt æble ligger på det gamle bord.",
    "Swedish": "Ett rött äpple ligger på det gamla bordet.", "Icelandic": "Rautt epli liggur á gamla borðinu, þó.",
    "Finnish": "Punainen omena on vanhalla pöydällä.", "Estonian": "Punane õun on vanal laual.",
    "Latvian": "Sarkans ābols ir uz vecā galda.", "Lithuanian": "Raudonas obuolys guli ant seno stalo.",
    "Polish": "Czerwone jabłko leży na starym stole, źdźbło.", "Czech": "Červené jablko leží na starém stole.",
    "Slovak": "Červené jablko leží na starom stole.", "Hungarian": "Egy piros alma fekszik az öreg asztalon, űrhajó.",
    "Romanian": "Un măr roșu stă pe masa veche, țară.", "Croatian": "Crvena jabuka leži na starom stolu, đak.",
    "Turkish": "Kırmızı bir elma eski masanın üstünde. İSTANBUL IĞDIR", "Azerbaijani": "Qırmızı alma köhnə masanın üstündədir.",
    "Vietnamese": "Một quả táo đỏ nằm trên chiếc bàn cũ.", "Welsh": "Mae afal coch ar yr hen fwrdd, tŷ ŵy.",
    "Irish": "Tá úll dearg ar an sean-bhord.", "Yoruba": "Èso ápù pupa kan wà lórí tábìlì àtijọ́.", "Hausa": "Jan tuffa yana kan teburin ƙasa ɗaya.",
    "Indonesian": "Sebuah apel merah terletak di atas meja tua.", "Swahili": "Tufaha jekundu liko juu ya meza.",
    "Greek": "Ένα κόκκινο μήλο βρίσκεται στο τραπέζι. ΟΔΟΣ ΣΟΦΟΣ", "Russian": "Красное яблоко лежит на старом столе, ёж.",
    "Ukrainian": "Червоне яблуко лежить на старому столі, їжак ґанок.", "Bulgarian": "Червена ябълка лежи на старата маса.",
    "Serbian": "Црвена јабука лежи на старом столу, љубав.", "Kazakh": "Қызыл алма ескі үстелдің үстінде жатыр.",
    "Mongolian": "Улаан алим хуучин ширээн дээр байна.", "Armenian": "Կարմիր խնձորը դրված է հին սեղանի վրա։ ԵՎ և",
    "Georgian": "წითელი ვაშლი ძველ მაგიდაზე დევს. ᲬᲘᲗᲔᲚᲘ", "Hebrew": "תפוח אדום מונח על השולחן הישן. שָׁלוֹם",
    "Yiddish": "אַ רויטער עפּל ליגט אויפֿן טיש.", "Arabic": "تفاحة حمراء على الطاولة القديمة. مُحَمَّد ١٢٣", "Persian": "یک سیب قرمز روی میز کهنه است. می‌خواهم ۱۲۳",
    "Urdu": "ایک سرخ سیب پرانی میز پر پڑا ہے۔", "Pashto": "یوه سره مڼه په زاړه مېز پرته ده.", "Hindi": "एक लाल सेब पुरानी मेज पर रखा है। ४५",
    "Marathi": "एक लाल सफरचंद जुन्या टेबलावर आहे.", "Nepali": "एउटा रातो स्याउ पुरानो टेबुलमा छ।", "Bengali": "একটি লাল আপেল পুরানো টেবিলের উপর আছে। ১২৩",
    "Punjabi": "ਇੱਕ ਲਾਲ ਸੇਬ ਪੁਰਾਣੀ ਮੇਜ਼ ਉੱਤੇ ਹੈ।", "Gujarati": "એક લાલ સફરજન જૂના ટેબલ પર છે.", "Odia": "ଗୋଟିଏ ନାଲି ସେଓ ପୁରୁଣା ଟେବୁଲ ଉପରେ ଅଛି।",
    "Tamil": "ஒரு சிவப்பு ஆப்பிள் பழைய மேசையில் உள்ளது. கௌ ொ", "Telugu": "ఒక ఎర్ర ఆపిల్ పాత బల్ల మీద ఉంది.", "Kannada": "ಒಂದು ಕೆಂಪು ಸೇಬು ಹಳೆಯ ಮೇಜಿನ ಮೇಲಿದೆ.",
    "Malayalam": "ഒരു ചുവന്ന ആപ്പിൾ പഴയ മേശപ്പുറത്ത് ഉണ്ട്.", "Sinhala": "රතු ඇපල් ගෙඩියක් පරණ මේසය උඩ තිබේ.", "Thai": "แอปเปิ้ลสีแดงอยู่บนโต๊ะเก่า ๔๕",
    "Lao": "ໝາກແອັບເປີ້ນສີແດງຢູ່ເທິງໂຕະເກົ່າ.", "Khmer": "ផ្លែប៉ោមក្រហមមួយនៅលើតុចាស់។", "Burmese": "ပန်းသီးနီတစ်လုံး စားပွဲဟောင်းပေါ်မှာ ရှိသည်။",
    "Tibetan": "ཀུ་ཤུ་དམར་པོ་ཞིག་ཅོག་ཙེ་རྙིང་པའི་སྟེང་དུ་ཡོད།", "Amharic": "ቀይ ፖም በአሮጌው ጠረጴዛ ላይ አለ።", "Chinese": "一个红苹果放在旧桌子上。", "Traditional Chinese": "一個紅蘋果放在舊桌子上，龜。",
    "Japanese": "赤いりんごが古いテーブルの上にある。パピプペポ ガギグ", "Korean": "빨간 사과가 낡은 탁자 위에 있다. 각", "Cherokee": "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ꮳꮃꭹ Ᏼᏼ", "Inuktitut": "ᐊᐅᐸᖅᑐᖅ ᐊᐃᑉᐳ ᐃᓄᒃᑎᑐᑦ",
    "Old Church": "Ѧзъ ꙗблъко Ꙋ ѿ ҂а҃", "Coptic": "ⲟⲩϫⲙⲡⲉϩ ⲛⲧⲣⲱϣⲓ Ⲁⲁ", "Gothic": "𐌰𐍀𐌰𐌻𐍃 𐍂𐌰𐌿𐌳𐍃", "Deseret": "𐐈 𐑉𐐯𐐼 𐐰𐐹𐐲𐑊", "Adlam": "𞤀𞤣𞤤𞤢𞤥 𞥑𞥒", "N'Ko": "ߒߞߏ ߁߂߃",
    "Cuneiform": "𒀀𒁀𒂀 𒐕", "Hieroglyphs": "𓀀𓁐𓂀 𓎆", "Vai": "ꕙꔤ ꘠꘡", "Tifinagh": "ⵜⵉⴼⵉⵏⴰⵖ", "Runes": "ᚠᚢᚦᚨᚱᚲ᛫ᛯ", "Ogham": "᚛ᚑᚌᚐᚋ᚜ ᚁ", "Javanese": "ꦲꦤꦕꦫꦏ ꧑꧒", "Balinese": "ᬩᬮᬶ ᭑",
}
WORDS = ("a the of on in with red blue green apple owl snowman wolf castle portrait photo painting oil watercolor astronaut "
         "horse riding moon Mars sunset style van Gogh highly detailed digital art trending artstation 4k 8K unreal engine "
         "cat's dog's don't it's we're I'll they've I'm he'd café naïve Zürich São façade piñata jalapeño teddy-bear 3D HDR "
         "f/1.8 35mm 50% $100 #1 C++ e.g. i.e. Mr. U.S.A. rock'n'roll mother-in-law 1920s 12:30 (masterpiece) [best] {x} \"quoted\"").split()
EMOJI = ("😀 🦉 ⛄ 🍎 ❤ ❤️ ☃ ☃️ 🧑 👩 👨 🧑‍🚀 👩‍👩‍👧‍👦 👨‍❤️‍💋‍👨 🏳️‍🌈 🏴‍☠️ 👍 👍🏿 🤝🏽 🧜🏻‍♀️ 🇩🇪 🇯🇵 🇺🇳 1️⃣ #️⃣ *️⃣ ©️ ™ 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🫠 🫡 🥹 🫱🏻‍🫲🏿 🫨 🩷 🪿 🐦‍⬛ 🫩 ♾️ ✌🏼 ✍🏾 🅰 🆗 🈚 🈷️ ㊗️ 🀄 🂡 "
         "♠ ♥ → ⇒ ■ ◆ ★ ☂︎ ☂️ ⌚ ⏰ 🕐").split()
SPACES = [chr(c) for c in [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]]
NEAR_SPACES = [chr(c) for c in (0x1C, 0x1D, 0x1E, 0x1F, 0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x2800, 0x3164, 0xAD)]
ENTITIES = "&amp; &lt; &gt; &quot; &#39; &nbsp; &eacute; &#233; &#xE9; &hearts; &#128512; &#x1F600; &amp;lt; &amp;amp;quot; &copy &notanentity; <b>bold</b> <br/> &Aacute; &#0; &#xFFFFFF;".split()
SPECIALS = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|ſtartoftext|>", "<|endoftext", "|>", "<|", "<| endoftext |>", "</w>", "<w/>",
            "<<|endoftext|>>", "<|endoftext|><|endoftext|>", "<|start\u200boftext|>", "<|startoftext|>!", "!<|endoftext|>", "!<|ENDOFTEXT|>", "!", "!!"]
CASES = ("İ I ı i ß ẞ ς Σ σ Σ. ΣΣ ΑΣ ΑΣ. ΑΣΑ Α'Σ Σ'Α ΑΣ\u0301 Α\u0301Σ Α\u00adΣ ΑʰΣ ªΣ ⅠΣ ⓐΣ 1Σ ΆΣ· ΑΣ: ΑΣ’ ΟΔΥΣΣΕΎΣ ǅ ǆ Ǆ ǈ ŉ ǰ ﬁ ﬃ ſ ſt K Å Ω ΐ ΰ և "
         "ᾳ ᾼ ῼ Ⴀ ⴀ ა Ა Ꭰ ꭰ Ᏸ ᏸ Ᲊ Ɤ Ꟛ Ƛ Ꞔ Ꞷ Ⓐ ⓐ Ⅷ ⅷ 𐐀 𐐨 𐒰 𐲀 𑢠 𖹀 𞤀 Ａ ａ Ꙋ ᲈ ẖ ẞS ŒŒ Æ Ðð Þ").split()
SCRIPT_BLOCKS = [(0x100, 0x250), (0x250, 0x2B0), (0x2B0, 0x370), (0x370, 0x400), (0x400, 0x530), (0x530, 0x590), (0x590, 0x600), (0x600, 0x700), (0x700, 0x750), (0x780, 0x7C0),
                 (0x7C0, 0x860), (0x8A0, 0x980), (0x980, 0xA00), (0xA00, 0xB00), (0xB00, 0xC00), (0xC00, 0xD00), (0xD00, 0xE00), (0xE00, 0xF00), (0xF00, 0x1000), (0x1000, 0x10A0),
                 (0x10A0, 0x1100), (0x1100, 0x1200), (0x1200, 0x13A0), (0x13A0, 0x1400), (0x1400, 0x1680), (0x1680, 0x1780), (0x1780, 0x1800), (0x1800, 0x18B0), (0x1900, 0x1A00),
                 (0x1A00, 0x1B00), (0x1B00, 0x1C80), (0x1C80, 0x1D00), (0x1D00, 0x1E00), (0x1E00, 0x1F00), (0x1F00, 0x2000), (0x2000, 0x2100), (0x2100, 0x2200), (0x2200, 0x2400),
                 (0x2400, 0x2600), (0x2600, 0x2800), (0x2C00, 0x2E00), (0x2E00, 0x3040), (0x3040, 0x3100), (0x3100, 0x3300), (0x3300, 0x3400), (0x3400, 0x3600), (0x4E00, 0xA000),
                 (0xA000, 0xA4D0), (0xA4D0, 0xA6A0), (0xA6A0, 0xA800), (0xA800, 0xAB30), (0xAB30, 0xAC00), (0xAC00, 0xD7FF), (0xE000, 0xE100), (0xF900, 0xFB00), (0xFB00, 0xFE00),
                 (0xFE00, 0x10000), (0x10000, 0x10400), (0x10400, 0x10600), (0x10800, 0x10D00), (0x10D00, 0x11000), (0x11000, 0x11400), (0x11400, 0x11A00), (0x11A00, 0x12000),
                 (0x12000, 0x12600), (0x13000, 0x14700), (0x16800, 0x17000), (0x1B000, 0x1B300), (0x1BC00, 0x1BCB0), (0x1D000, 0x1D400), (0x1D400, 0x1D800), (0x1E000, 0x1E300),
                 (0x1E4C0, 0x1E600), (0x1E800, 0x1F000), (0x1F000, 0x1F300), (0x1F300, 0x1F700), (0x1F700, 0x1FB00), (0x1FB00, 0x20000), (0x2A600, 0x2A800), (0x2B700, 0x2B900),
                 (0x2CE00, 0x2CF00), (0x2EB00, 0x2EF00), (0x2F800, 0x2FA20), (0x31300, 0x32400), (0xE0000, 0xE0200)]
MARKS = [chr(c) for c in [*range(0x300, 0x370), 0x5B0, 0x5B4, 0x64B, 0x651, 0x7FD, 0x898, 0x8CA, 0x93C, 0x94D, 0x9FE, 0xC3C, 0xD3B, 0xEBA, 0xF71, 0xF74, 0x1715, 0x1ABF, 0x1DC0, 0x1DF6,
                          0x20D0, 0x3099, 0x309A, 0xA82C, 0xFE20, 0x10EFD, 0x11070, 0x11930, 0x11935, 0x1E08F, 0x1E130, 0x1E4EC, 0x1E944]]


def corpus():
    rng = random.Random(20220413)
    pick = lambda items, low, high, glue=" ": glue.join(rng.choice(items) for _ in range(rng.randint(low, high)))
    code = lambda low, high: chr(rng.choice([c for c in (rng.randrange(low, high),) if not 0xD800 <= c < 0xE000] or [0x3A3]))
    recase = lambda text: rng.choice([text, text.upper(), text.title(), text.swapcase()])

    yield "prompts in English", [recase(pick(WORDS, 1, 24, rng.choice([" ", " ", ", ", "  "]))) for _ in range(3000)]
    languages = list(LANGUAGES.values())
    for text in LANGUAGES.values():
        languages += [recase(pick(text.split(), 1, 8)) for _ in range(25)] + [recase(text), text[: rng.randrange(1, len(text))]]
    languages += [" ".join(rng.sample(list(LANGUAGES.values()), 2)) for _ in range(200)]
    yield f"{len(LANGUAGES)} languages", languages
    yield f"{len(SCRIPT_BLOCKS)} blocks of scripts", [
        "".join(code(*block) if rng.random() < 0.85 else rng.choice(" .a1Σ") for _ in range(rng.randrange(1, 16))) for block in SCRIPT_BLOCKS for _ in range(30)]
    yield "emoji", EMOJI + [pick(EMOJI + ["a", "owl", "\u200d", "\ufe0f", "\U0001F3FD", "!"], 1, 9, rng.choice(["", " "])) for _ in range(2000)]
    yield "HTML entities", ENTITIES + [pick(ENTITIES + WORDS, 1, 9, rng.choice(["", " "])) for _ in range(800)]
    yield "combining marks", ["".join(rng.choice("aeionAEINЕИかハעבक가一" + "Σ ") + "".join(rng.choice(MARKS) for _ in range(rng.randrange(5))) for _ in range(rng.randrange(1, 9)))
                              for _ in range(2000)] + ["a" + "\u0316\u0301" * 200]
    yield "white space", [pick(["a", "red", "Owl", "1", "!", "'s", ""], 1, 9, "\0").replace("\0", "{}").format(*(pick(SPACES + NEAR_SPACES, 0, 3, "") for _ in range(9))) for _ in range(1500)]
    yield "control characters", ["".join(rng.choice([chr(rng.randrange(32)), chr(rng.randrange(0x7F, 0xA0)), rng.choice(NEAR_SPACES), chr(rng.randrange(0x200B, 0x2070)), "\ufffd", "\ue000", "a", "b ", "'s"])
                                         for _ in range(rng.randrange(1, 14))) for _ in range(1500)]
    yield "digits", ["".join(rng.choice(["0", "7", "12", ".", ",", "-", "x", "½", "²", "Ⅷ", "٣", "४", "一", "①", "𝟘", "㉈", " ", "%", "e"]) for _ in range(rng.randrange(1, 16))) for _ in range(1000)]
    endings = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'ſ", "’s", "'", "''", "'x", "`s", "''s", "s'", "'tis", "'d've", "!'s", "1's", " 's"]
    yield "contractions", [pick(["it", "we", "I", "dog", "O", "don", "É", "日"] + endings, 1, 8, rng.choice(["", "", " "])) for _ in range(1500)]
    yield "long words", [pick(rng.choice([["a"], ["ab", "ba"], list("abcdefghijklmnopqrstuvwxyz"), ["anti", "dis", "establish", "ment", "arian", "ism"], ["ha", "HA"], ["🦉"], ["-", "="], ["日", "月"], ["é"], ["ж"]]), 20, 400, "")
                         for _ in range(400)]
    yield "case", CASES + [pick(CASES, 1, 7, rng.choice(["", "", " ", "a"])) for _ in range(2000)]
    yield "special tokens", SPECIALS + [pick(SPECIALS + ["a", "Red", "'s", "1", "é", "日", "\n"], 1, 7, rng.choice(["", "", " "])) for _ in range(1500)]
    yield "ASCII", ["".join(chr(rng.randrange(0x20, 0x7F)) for _ in range(rng.randrange(1, 40))) for _ in range(1000)] + ["", " ", "\n\t "]
    planes = [code(0, 0x110000) for _ in range(20000)] + [chr(c) for plane in range(17) for c in (plane * 0x10000 + 0xFFFE, plane * 0x10000 + 0xFFFF)]
    yield "any Unicode, 17 planes", ["".join(rng.choice(planes) for _ in range(rng.randrange(1, 12))) for _ in range(1500)]
    used = [c for low, high in ((0, 0xD800), (0xE000, 0x14700), (0x16800, 0x18D00), (0x1B000, 0x1FC00), (0x20000, 0x32400)) for c in range(low, high)]
    yield "random Unicode", ["".join(chr(rng.choice(used)) for _ in range(rng.randrange(1, 14))) for _ in range(3000)]
    yield "random bytes", [bytes(rng.choice([rng.randrange(256), rng.randrange(0x80, 0x100), 0x61, 0x20]) for _ in range(rng.randrange(1, 30))).replace(b"\n", b"\xe2\x82") for _ in range(1500)] + [
        bytes([a, b]) for a in (0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xF5) for b in range(0x70, 0x100)]
