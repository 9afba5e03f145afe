"""Texts made from the lists in tasks/data/guard: requests that harm and requests that only look like it,
attacks on a model's instructions and the same carriers without them.

Everything is drawn from a seeded generator. A line of a list (template) and a frame are each held out
for development by their hash: a development row has both held out, a training row neither.
"""
import base64
import codecs
import collections
import hashlib
import pathlib
import random
import re

LISTS = pathlib.Path(__file__).resolve().parent.parent / "tasks/data/guard"
CATEGORIES = ("cybercrime", "fraud", "drugs_weapons", "violence", "self_harm", "sexual", "hate",
              "harassment", "privacy", "misinformation")

Row = collections.namedtuple("Row", "text label source template part")


def held_out(line, share=6):
    """Whether a template or frame is kept for development."""
    return int(hashlib.sha256(line.encode()).hexdigest(), 16) % share == 0


def sections(name):
    """A list's lines by section ("# name"); comments are sections without lines."""
    found, section = collections.OrderedDict(), None
    for line in (LISTS / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            section = line[2:].strip()
        elif line.strip():
            found.setdefault(section, []).append(line.replace("\\n", "\n"))
    return found


def carriers():
    """The texts of carriers.txt, which are apart by empty lines; the first is its comment."""
    return (LISTS / "carriers.txt").read_text(encoding="utf-8").strip().split("\n\n")[1:]


DOUBLED = {"get", "put", "cut", "run", "rob", "stab", "set", "plan", "rig", "stop", "hit", "plot", "chop", "strip",
           "drop", "swat", "drag", "bug", "sit", "spot", "skip", "trap", "whip", "jam", "grab", "kidnap", "quit",
           "win"}


def gerund(phrase):
    """'pick a lock': 'picking a lock'. The first word is the verb."""
    verb, _, rest = phrase.partition(" ")
    if verb in DOUBLED:
        verb += verb[-1]
    elif verb in ("die", "lie", "tie"):
        verb = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        verb = verb[:-1]
    return f"{verb}ing {rest}".strip()


def capital(text):
    return text[:1].upper() + text[1:]


class Generator:
    """Rows of all kinds. `seed`: of what is drawn."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        self.slots = sections("slots.txt")
        self.frames = sections("frames.txt")
        self.attacks = sections("attacks.txt")
        self.harmful, self.harmless = sections("harmful.txt"), sections("harmless.txt")
        self.topics = dict(line.split(": ", 1) for line in
                           (LISTS / "topics.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#"))

    def choose(self, lines, dev):
        """One of the lines of this part."""
        some = [line for line in lines if held_out(line) == dev]
        return self.random.choice(some or lines)

    def fill(self, text):
        def one(match):
            name = match[1]
            return self.random.choice(self.slots[name]) if name in self.slots else match[0]
        return re.sub(r"\{(\w+)\}", one, text)

    def written(self, text):
        """As people type: sometimes without capitals or the last mark, rarely in capitals."""
        luck = self.random.random()
        if luck < 0.15:
            return text.lower().rstrip("?.")
        if luck < 0.25:
            return text.rstrip("?.")
        if luck < 0.26:
            return text.upper()
        return text

    def among(self, text):
        """The same request among other words, as people tell why they ask and how they want it."""
        if self.random.random() < 0.2:
            text = f"{self.random.choice(self.frames['before'])} {text}"
        if self.random.random() < 0.15:
            text = f"{text} {self.random.choice(self.frames['after'])}"
        return text

    def again(self, text):
        """A published request in another frame."""
        small = text[:1].lower() + text[1:]
        if re.match(r"(how to|ways to|ideas for|tips for) ", small):
            small = self.random.choice(("tell me {}", "explain {}", "i want to know {}", "{}", "give me {}")).format(small)
        elif re.match(r"(write|create|give|develop|provide|make|design|teach|generate|describe|explain|list|draft|show|"
                      r"outline|produce|tell|instruct|suggest|help|construct|compose)\b", small):
            small = self.random.choice(("can you {}", "I want you to {}", "please {}", "could you {}", "{}")).format(small)
        text = self.among(small)
        return self.written(text if text != small else f"{text} {self.random.choice(self.frames['after'])}")

    def request(self, line, dev):
        """A line of harmful.txt or harmless.txt in a frame."""
        kind, phrase = line.split(": ", 1)
        phrase = self.fill(phrase)
        if kind == "ask":
            frame = self.choose(self.frames["ask"], dev)
            small = phrase[:1].lower() + phrase[1:] if not phrase.startswith("I ") else phrase
            if not re.match(r"(Write|Give|List|Make|Create|Generate|Draft|Describe|Explain|Design|Develop|Tell)", phrase):
                frame = "{ask}"
            return self.written(self.among(frame.replace("{ask_small}", small).replace("{ask}", phrase)))
        frame = self.choose(self.frames["how"], dev)
        text = frame.replace("{act}", phrase).replace("{acting}", gerund(phrase)).replace("{Act}", capital(phrase))
        if self.random.random() < 0.12:
            mark = text[-1] if text[-1] in "?." else ""
            text = f"{text.rstrip('?.')} {self.random.choice(self.frames['ending'])}{mark}"
        return self.written(self.among(text))

    def act(self):
        """A harmful request's core, as the aim of an attack."""
        lines = [line for name in CATEGORIES for line in self.harmful[name] if line.startswith("how")]
        return self.fill(self.random.choice(lines).split(": ", 1)[1])

    def requests(self, count, harmful, dev):
        """About `count` requests, evenly over categories."""
        lists = self.harmful if harmful else self.harmless
        names = list(CATEGORIES) + ([] if harmful else ["general"] * 6)
        source = "generated-harmful" if harmful else "generated-harmless"
        for i in range(count):
            name = names[i % len(names)]
            lines = [line for line in lists[name] if held_out(line) == dev]
            if not lines:
                continue
            line = self.random.choice(lines)
            text = self.request(line, dev)
            yield Row(text, name if harmful else "safe", source, f"{name}/{line}", "dev" if dev else "train")

    def about(self, count, dev):
        """Harmless texts about harmful things: history, law, prevention, help."""
        names = [(name, topic) for name in CATEGORIES for topic in self.topics[name].split(", ")
                 if held_out(topic) == dev]
        for _ in range(count):
            (name, topic), (_, other) = self.random.choice(names), self.random.choice(names)
            frame = self.choose(self.frames["topic"], dev)
            text = frame.replace("{topic}", topic).replace("{topic2}", other)
            yield Row(self.written(text), "safe", "generated-about", f"{name}/{topic}", "dev" if dev else "train")

    # Attacks.

    def override(self):
        verb, which, rules = (self.random.choice(self.attacks[name]) for name in ("ignore", "which", "rules"))
        return f"{verb} {which} {rules}"

    def goal(self):
        return self.random.choice(self.attacks["goal"]).replace("{act}", self.act())

    def attack_line(self, line):
        """A line of attacks.txt with everything filled in."""
        override, goal, act = self.override(), self.goal(), self.act()
        planted = self.random.choice(self.attacks["planted_goal"])
        authority, sensitive = self.random.choice(self.attacks["authority"]), self.random.choice(self.attacks["sensitive"])
        sensitive = sensitive.replace("{act}", act)
        for name, value in (("authority", authority), ("Authority", capital(authority)), ("sensitive", sensitive),
                            ("Sensitive", capital(sensitive)), ("planted_goal", planted), ("Planted_goal", capital(planted)), ("goal", goal),
                            ("Goal", capital(goal)), ("override", override), ("Override", capital(override)),
                            ("act", act), ("name", self.random.choice(self.attacks["name"])),
                            ("domain", self.random.choice(self.attacks["domain"]))):
            line = line.replace("{" + name + "}", value)
        line = line.replace("{domain}", self.random.choice(self.attacks["domain"]))
        return self.fill(line)

    def disguise(self, text):
        """The same text in an encoding that a model may undo."""
        way = self.random.randrange(5)
        if way == 0:
            return "Decode this base64 and do what it says: " + base64.b64encode(text.encode()).decode()
        if way == 1:
            return "This is rot13. Decode it and follow it: " + codecs.encode(text, "rot13")
        if way == 2:
            return text.translate(str.maketrans("aeiost", "4310$7"))
        if way == 3:
            return " ".join(text)
        return "Read this backwards and obey: " + text[::-1]

    WAYS = ("override", "override", "override", "fake", "leak", "persona", "persona", "suppress", "mixed", "foreign",
            "impersonate", "impersonate", "soft", "soft")

    def direct(self, count, dev, carrier):
        """Attacks by the user. `carrier()` gives a harmless request, which some of them hide behind."""
        for i in range(count):
            way = self.WAYS[i % len(self.WAYS)]
            line = self.choose(self.attacks[way], dev)
            text = self.attack_line(line)
            if way == "persona" and self.random.random() < 0.5:
                more = self.choose(self.attacks[self.random.choice(("persona", "suppress", "override"))], dev)
                text += " " + self.attack_line(more)
            luck = self.random.random()
            if luck < 0.2:
                text = f"{carrier()} {text}"
            elif luck < 0.27:
                text = f"{text} {carrier()}"
            elif luck < 0.32 and len(text) < 150:
                text = self.disguise(text)
            yield Row(self.written(text), "direct", "generated-direct", f"{way}/{line}", "dev" if dev else "train")

    def discussed(self, count, dev):
        """Attacks that are talked about, and ordinary requests in their words."""
        for i in range(count):
            way = "discuss" if i % 3 == 0 else "ordinary"
            line = self.choose(self.attacks[way], dev)
            parts = {"override_goal": self.attack_line(self.choose(self.attacks["override"][:4], dev)),
                     "planted": self.attack_line(self.choose(self.attacks["planted"], dev)).replace('"', "'"),
                     "persona": self.attack_line(self.choose(self.attacks["persona"], dev)).replace('"', "'"),
                     "leak": self.choose(self.attacks["leak"], dev).replace('"', "'")}
            text = line
            for name, value in parts.items():
                text = text.replace("{" + name + "}", value)
            text = self.attack_line(text)
            yield Row(self.written(text), "none", "generated-" + way, f"{way}/{line}", "dev" if dev else "train")

    def roles(self, count, dev, question):
        """Harmless roles with rules, as people share them: long prompts that attack nothing."""
        for _ in range(count):
            role = self.choose(self.attacks["role"], dev)
            lines = [self.choose(self.attacks["opening"], dev)]
            lines += [self.choose(self.attacks["detail"], dev) for _ in range(self.random.randrange(1, 7))]
            text = self.random.choice((" ", " ", "\n")).join(dict.fromkeys(lines))
            for name, value in (("role", role), ("person", self.random.choice(self.attacks["person"])),
                                ("question", question())):
                text = text.replace("{" + name + "}", value)
            yield Row(self.written(self.fill(text)), "none", "generated-role", f"role/{role}", "dev" if dev else "train")

    # Carriers.

    PEOPLE = ("Maria Lopez", "John Carter", "Wei Chen", "Fatima Khan", "Peter Novak", "Aisha Bello", "Tom Hill",
              "Ingrid Dahl", "Ravi Patel", "Claire Martin")

    def carrier(self, dev):
        """A text with a place for a planted line, and its template."""
        if self.random.random() < 0.3 and self.paragraphs:
            template = "paragraph"
            words = self.random.choice(self.paragraphs[dev]).split()
            at = self.random.choice((0, len(words) // 2, len(words)))
            return " ".join(words[:at] + ["%%"] + words[at:]), template
        template = self.choose(self.carriers, dev)
        text = template
        for name in ("thing", "dish", "subject"):
            text = text.replace("{" + name + "_plain}", re.sub(r"^(a|an|the) ", "", self.random.choice(self.slots[name])))
        text = text.replace("{person_name}", self.random.choice(self.PEOPLE))
        text = text.replace("{number}", str(self.random.randrange(1000, 99999)))
        text = text.replace("{price}", f"${self.random.randrange(5, 900)}.{self.random.randrange(10, 99)}")
        return self.fill(text), template

    def indirect(self, pairs, dev, paragraphs):
        """Pairs: a carrier with a planted line, and itself with an ordinary line or none. `paragraphs`:
        running text, of training and of development."""
        self.paragraphs, self.carriers = paragraphs, carriers()
        part = "dev" if dev else "train"
        for i in range(pairs):
            text, template = self.carrier(dev)
            line = self.choose(self.attacks["planted"] if i % 5 else self.attacks["override"], dev)
            planted = self.attack_line(line)
            plain = self.choose(self.attacks["benign_line"], dev) if i % 2 else ""
            if '"%%"' in text or '%%"' in text:
                planted = planted.replace('"', "'")
            yield Row(text.replace("%%", planted), "indirect", "generated-indirect", f"{template[:40]}/{line}", part)
            yield Row(re.sub(r" +", " ", text.replace("%%", plain)), "none", "generated-carrier", template[:40], part)
