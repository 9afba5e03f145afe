"""What tools/guard_sets.py reads: the published lists that may train a guard, harmless texts, and the
tests. Which set may do what: README.md of the data."""
import csv
import gzip
import hashlib
import json
import os
import pathlib
import random
import re

import guard_texts
from guard_texts import Row

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("TACK_DATA", ROOT / "../shared/data"))
WINDOW = 130  # words; about 200 tokens, as the engine cuts long texts

# First match names the category of a request whose source has none of ours. Written on AdvBench,
# StrongREJECT and MaliciousInstruct.
RULES = [(name, re.compile(words, re.I)) for name, words in (
    ("self_harm", r"suicid|self.?harm|anorexi|bulimi|eating disorder|kill (my|your|them)sel|cut(ting)? myself|"
                  r"end (my|their) (own )?li|starv|overdose|pro-ana"),
    ("sexual", r"\bsex|porn|erotic|rape\b|nude|child(ren)? (abuse|exploit)|pedo|groom|prostitut|molest|incest|bdsm|"
               r"upskirt|naked"),
    ("cybercrime", r"hack|malware|virus(?! spread)|ransomware|phish|exploit|keylog|trojan|ddos|denial.of.service|"
                   r"botnet|backdoor|password|sql|cyber ?attack|spyware|firewall|network|software|antivirus|worm|"
                   r"man-in-the-middle|unauthori[sz]ed access|security system|brute force|voting machine|vulnerabil"),
    ("hate", r"racis|sexis|hate ?(speech|ful|crime)?\b|discriminat|slur|jew|muslim|immigrant|black people|homophob|"
             r"gay|transgender|minorit|supremac|nazi|genocide|dehumani|ethnic|inferior|misogyn|lgbt|holocaust|"
             r"women (are|should|belong)|disabled|religio|stereotyp|certain (race|group)|specific group|asian"),
    ("harassment", r"bull(y|ies)|harass|stalk|threat|blackmail|extort|intimidat|humiliat|gaslight|guilt|manipulat|"
                   r"brainwash|reputation|rumou?r|false(ly)? accus|fram(e|ing) |defam|trick a|revenge|mind games|"
                   r"flatter|subliminal|indebted|control someone|plant fake"),
    ("privacy", r"person(al|'s) (information|data)|privacy|\bspy|surveil|track(ing)? (someone|a person|my)|dox|"
                r"home address|private (information|photo|conversation)|social security|wiretap|confidential|"
                r"someone's (location|messages|phone)|without (his|her|their) (knowledge|consent)"),
    ("fraud", r"fraud|scam|steal|stol|theft|thief|launder|embezzl|counterfeit|forg(e|ing|ery)|insider trading|tax|"
              r"fake (id|passport|document|invoice|check|charit|driver)|rob\b|robber|brib|ponzi|pyramid|shoplift|"
              r"credit card|bank|money|insurance|burgl|break into|identity|hot.?wire|pirat|plagiar|cheat|evad|"
              r"counterfeit|illegal(ly)? download|copyright|sabotag|tamper|trade secret|smuggl|traffick"),
    ("drugs_weapons", r"drug|meth\b|cocaine|heroin|cannabis|marijuana|steroid|opioid|inhalant|hallucinogen|bomb|"
                      r"explosi|weapon|gun\b|guns\b|firearm|ammunition|poison|chemical|biological|nuclear|anthrax|"
                      r"ricin|silencer|grenade|molotov|alcohol|drunk|cigarette|illegal goods|organs?\b|ivory|"
                      r"prescription|edibles|get high|pills"),
    ("misinformation", r"misinform|disinform|fake news|false (news|information)|conspirac|propagand|rig an election|"
                       r"election|vaccin|hoax|mislead|decei|decept|fabricat|climate|flat earth|fake|politic|vot(e|ing)"),
    ("violence", r"kill|murder|violen|assault|attack|tortur|terror|shoot|stab|kidnap|hurt|harm|injur|arson|assassin|"
                 r"burn|weapon|fight|abus|riot|hitman|crime|dangerous|cannibal|corpse|body|animal"),
)]


def category(text, default="fraud"):
    return next((name for name, words in RULES if words.search(text)), default)


def read_csv(path):
    csv.field_size_limit(1 << 24)
    with open(DATA / path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_lines(path):
    return [line for line in (DATA / path).read_text(encoding="utf-8").splitlines() if line.strip()]


def digest(text):
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest(), 16)


def tidy(text, words=WINDOW):
    """One window of the text, spaces made single (line ends stay)."""
    text = re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", text.strip()))
    parts = re.split(r"( |\n)", text)
    return "".join(parts[:2 * words - 1])


def windows(text, words=WINDOW):
    parts = re.split(r"( |\n)", re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", text.strip())))
    return ["".join(parts[at:at + 2 * words - 1]).strip() for at in range(0, len(parts), 2 * words)]


# Harmful requests of published lists. AdvBench, StrongREJECT and MaliciousInstruct: MIT.

def advbench():
    for row in read_csv("harm_prompts/advbench_behaviors.csv"):
        yield row["Behavior"], category(row["Behavior"])


STRONGREJECT = {"Disinformation and deception": "misinformation", "Hate, harassment and discrimination": "hate",
                "Illegal goods and services": "drugs_weapons", "Non-violent crimes": "fraud",
                "Sexual content": "sexual", "Violence": "violence"}


def strongreject():
    """Its six categories are wider than ours: where one of ours is named by the text and is a part of
    its own, that one counts."""
    parts = {"misinformation": ("misinformation", "fraud", "cybercrime"), "hate": ("hate", "harassment"),
             "drugs_weapons": ("drugs_weapons", "fraud", "sexual"), "sexual": ("sexual",),
             "fraud": ("fraud", "cybercrime", "privacy", "harassment"),
             "violence": ("violence", "self_harm", "drugs_weapons", "sexual")}
    for row in read_csv("harm_prompts/strongreject_dataset.csv"):
        own, text = STRONGREJECT[row["category"]], row["forbidden_prompt"]
        found = category(text, own)
        yield text, found if found in parts[own] else own


def malicious():
    for line in read_lines("harm_prompts/malicious_instruct.txt"):
        yield line, category(line, "harassment")


FORBIDDEN = {"Illegal Activity": None, "Hate Speech": "hate", "Malware": "cybercrime", "Physical Harm": "violence",
             "Fraud": "fraud", "Pornography": "sexual", "Privacy Violence": "privacy", "Gov Decision": None,
             "Legal Opinion": "safe", "Financial Advice": "safe", "Health Consultation": "safe"}


def forbidden():
    """Of its 13 policies, economic harm (gambling, lending) and political lobbying are no harm by our
    categories and no safe text either: left out. Questions for advice are safe."""
    for row in read_csv("jailbreaks/forbidden_question_set.csv"):
        policy = row["content_policy_name"]
        if policy in FORBIDDEN:
            label = FORBIDDEN[policy] or category(row["question"])
            yield row["question"], "self_harm" if label == "violence" and "suicid" in row["question"] else label


def davidson():
    """Tweets: hate speech when two of three judges agree; offensive when all do; a sample of neither."""
    quota = {"hate": 700, "harassment": 500, "safe": 1300}
    for row in sorted(read_csv("davidson/labeled_data.csv"), key=lambda row: digest(row["tweet"])):
        text = re.sub(r"&#\d+;|https?://\S+|\bRT\b|@\w+:?|^[!\"\s:]+", " ", row["tweet"])
        text = re.sub(r"\s+", " ", text.replace("&amp;", "&")).strip(' "')
        label = {"0": "hate", "1": "harassment", "2": "safe"}[row["class"]]
        agree = int(row[{"0": "hate_speech", "1": "offensive_language", "2": "neither"}[row["class"]]])
        if len(text) < 15 or agree < int(row["count"]) * (0.66 if row["class"] == "0" else 1) or not quota[label]:
            continue
        quota[label] -= 1
        yield text, label


def openers():
    """First turns of HH-RLHF's harmless-base conversations (MIT), which come without a harm label: those
    that tasks/data/guard/hh_labels.txt labels."""
    labels = {name: label for label, lines in guard_texts.sections("hh_labels.txt").items()
              for line in lines for name in line.split()}
    with gzip.open(DATA / "hh_harmless/harmless-base-test.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            said = json.loads(line)["chosen"].split("\n\nAssistant:")[0].replace("\n\nHuman:", "")
            text = " ".join(said.split())
            label = labels.get(hashlib.sha256(text.encode("utf-8")).hexdigest()[:12])
            if label:
                yield text, label


# A window of a jailbreak is an attack where it says so; the middle of a long one may be any text.
STRONG = re.compile(
    r"(ignore|disregard|forget) (all|any|every|what|your|the|previous)|jail ?break|\bDAN\b|do anything now|"
    r"without (any )?(restrict|limit|filter|censor|moral|ethic)|no (restrict|limit|filter|moral|ethic|rules|guideline|"
    r"censor)\w*|unfilter|uncensor|unethical|immoral|amoral|unmoral|never (refuse|say no|decline)|(can|do|will|must|"
    r"should)(not| not|n't) (refuse|decline|apologi\w+|say (that )?(you|sorry|no))|developer mode|content polic|bypass|"
    r"free(d)? (from|of) (all|any|the)|token system|openai'?s? (polic|guideline|rules)|ethical guidelines", re.I)
WEAK = re.compile(r"illegal|stay in character|break(ing)? character|openai|guidelines|evil|bound by|offensive|nsfw|"
                  r"harmful|programming|comply|regardless|inappropriate|swear|restrictions|chatgpt", re.I)


def attack_words(text):
    """Phrases of jailbreaks in a text: a strong one counts two."""
    return sum(weight * len({match[0].lower() for match in words.finditer(text)})
               for words, weight in ((STRONG, 2), (WEAK, 1)))


def jailbreaks():
    """Windows with a strong phrase and another; of the first window one strong or two weak ones. At most
    three of a prompt."""
    for row in read_csv("jailbreaks/jailbreak_prompts_2023_12_25.csv"):
        found = 0
        for number, text in enumerate(windows(row["prompt"])):
            if attack_words(text) >= (2 if number == 0 else 4) and len(text.split()) >= 4:
                yield text, "direct"
                found += 1
                if found == 3:
                    break


# Harmless texts.

def sample(texts, count, seed):
    texts = sorted(set(texts), key=lambda text: digest(f"{seed} {text}"))
    return texts[:count]


def squad():
    paragraphs, questions, titles = [], [], []
    for article in json.loads((DATA / "squad/train-v1.1.json").read_text(encoding="utf-8"))["data"]:
        titles.append(article["title"].replace("_", " "))
        for paragraph in article["paragraphs"]:
            paragraphs.append(paragraph["context"])
            questions += [qa["question"].strip() for qa in paragraph["qas"]]
    return paragraphs, questions, titles


def conll(path):
    texts, words = [], []
    for line in (DATA / path).read_text(encoding="utf-8").splitlines():
        if line.strip():
            words.append(line.split("\t")[0].split()[0])
        elif words:
            texts.append(" ".join(words))
            words = []
    return texts


def mmlu():
    for path in sorted((DATA / "routellm/mmlu/responses").glob("*.csv")):
        for row in read_csv(path):
            yield row["prompt"]


def benign(seed):
    """(source, texts): how many of each is the mix that was chosen on development rows."""
    paragraphs, questions, titles = squad()
    stories = (DATA / "tinystories_2mb/tinystories_sample.txt").read_text(encoding="utf-8", errors="replace")
    stories = [s.strip() for s in re.split(r"<\|endoftext\|>|\n\s*\n\s*\n", stories) if len(s.split()) > 20]
    restaurant = json.loads((DATA / "restaurant8k/train_0.json").read_text(encoding="utf-8"))
    doctor = [row for name in ("train", "valid") for row in read_csv(f"aci_bench/{name}.csv")]
    problems = [json.loads(line)["question"] for line in read_lines("gsm8k/train.jsonl")]
    headlines = [row["Title"] for row in read_csv("sentfin/SEntFiN.csv")]
    texts = {
        "snips": sample(read_lines("snips/train/seq.in"), 900, seed),
        "restaurant8k": sample([row["userInput"]["text"] for row in restaurant], 600, seed),
        "sentfin": sample(headlines, 500, seed),
        "squad-question": sample(questions, 1800, seed),
        "squad-paragraph": [tidy(text, 90) for text in sample(paragraphs, 500, seed)],
        "gsm8k": sample(problems, 400, seed),
        "mmlu": [tidy(text, 100) for text in sample(mmlu(), 900, seed)],
        "llmrouter": [tidy(row, 100) for row in sample(
            [row["question"] for row in json.loads((DATA / "llmrouter/dcrouter_train.json").read_text())], 1500, seed)],
        "aci_bench": [random.Random(digest(row["encounter_id"])).choice(windows(row[part], 90)) for row in doctor
                      for part in ("dialogue", "note", "dialogue")],
        "wnut17": sample(conll("wnut17/wnut17train.conll"), 500, seed),
        "tinystories": [tidy(text, 80) for text in sample(stories, 300, seed)],
    }
    return texts, {"paragraph": paragraphs, "question": questions, "title": titles, "story": stories,
                   "headline": headlines, "problem": problems}


def instructions(pool, count, generator):
    """Everyday instructions about the texts of `pool` (frames of "instruct")."""
    rng = generator.random
    for i in range(count):
        dev = i % 8 == 0
        frame = generator.choose(generator.frames["instruct"], dev)
        paragraph = rng.choice(pool["paragraph"])
        values = {"text": tidy(paragraph, rng.choice((20, 40, 70))), "sentence": re.split(r"(?<=[.?!])\s", paragraph)[0],
                  "headline": rng.choice(pool["headline"]), "story": tidy(rng.choice(pool["story"]), 50),
                  "question": rng.choice(pool["question"]), "title": rng.choice(pool["title"]),
                  "title2": rng.choice(pool["title"]), "problem": rng.choice(pool["problem"])}
        text = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], frame)
        yield Row(generator.written(text), "safe", "instruction", frame, "dev" if dev else "train")


# Tests. The rules of ../shared/data say which rows may train; these never do.

def harmbench():
    for row in read_csv("harm_prompts/harmbench_behaviors_text_all.csv"):
        context = row.get("ContextString", "").strip()
        text = f"{context}\n\n{row['Behavior']}" if context else row["Behavior"]
        yield tidy(text, 400), "harm", row["FunctionalCategory"] + "/" + row["SemanticCategory"]


def texts_of_json(path, *keys):
    for row in json.loads((DATA / path).read_text(encoding="utf-8")):
        yield row if isinstance(row, str) else next(row[key] for key in keys if key in row)


def tests():
    """Name: rows (text, label, type)."""
    found = {"harmbench": list(harmbench())}
    found["harmful_test"] = [(text, "harm", "") for text in
                             texts_of_json("harm_prompts/harmful_test.json", "instruction", "prompt")]
    found["tdc2023"] = [(row["Behavior"], "harm", "") for row in
                        read_csv("harm_prompts/tdc2023_test_phase_behaviors.csv")]
    found["alpaca"] = [(text, "benign", "") for text in
                       texts_of_json("harm_prompts/harmless_test.json", "instruction", "prompt")]
    rows = [json.loads(line) for line in read_lines("injections/prompt_injection_dataset_final.jsonl")]
    found["injections"] = [(row["text"], "harm" if row["label"] == 1 else "benign", row["injection_type"])
                           for row in rows if row["text"].strip()]
    queries = [(row["text"], "benign", "banking77") for row in read_csv("banking77/test.csv")]
    clinc = json.loads((DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))
    queries += [(text, "benign", "clinc150") for part in ("test", "oos_test") for text, _ in clinc[part]]
    found["queries"] = queries
    section, found["lookalikes"] = "", []
    for line in (guard_texts.LISTS / "lookalikes.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            section = line[2:]
        elif line:
            found["lookalikes"].append((line, "benign", section))
    return found
