#!/usr/bin/env python3
"""Writes tasks/data/tickets/{train,test}.csv: support tickets of an invented web shop.

  python3 tools/make_tickets.py tasks/data/tickets

The core sentences below were written by hand, 14 for each of 20 intents that are easy to confuse;
the last two of each appear only in the test file, where every fifth row is made from them.
A row wraps a core in what real tickets have around it: greetings, order numbers, a sentence about
something else (often the neighbouring intent), signatures, typing errors, missing punctuation.
Rows with the label "oos" belong to no intent. The same seed gives the same files.
"""
import csv
import pathlib
import random
import sys

TEST_CORES = 2
UNSEEN = 5                          # one test row of so many comes from a sentence training never saw
TRAIN_ROWS, TEST_ROWS = 110, 40     # per intent
TRAIN_OOS, TEST_OOS = 60, 120

INTENTS = {
    "order_status": [
        "where is my {thing}", "can you tell me the status of my order", "has my {thing} been sent yet",
        "I ordered a {thing} {ago} and would like to know how far along it is",
        "any news about the {thing} I bought", "is my order still being prepared",
        "your site says processing for {n} days now, what does that mean",
        "please check what is happening with my purchase", "when will you ship my {thing}",
        "I have not heard anything since I paid for the {thing}",
        "what stage is my order at", "did the {thing} leave your warehouse",
        "it still says we are preparing your order", "could someone look up my purchase for me"],
    "delivery_late": [
        "my {thing} should have been here {ago}", "the parcel is overdue and nobody answers",
        "you promised delivery by {day} and nothing came", "why is my {thing} taking so long",
        "the courier keeps moving the date back", "it is {n} days past the delivery date",
        "still waiting for a package that was due {day}", "the {thing} is late again",
        "I took a day off to receive the {thing} and nobody showed up",
        "my delivery was postponed for the third time",
        "the estimated arrival has come and gone", "how much longer do I have to wait for this parcel",
        "the driver did not turn up on {day}", "this was meant to arrive before {day}"],
    "delivery_lost": [
        "tracking says delivered but I never got the {thing}", "my parcel seems to have disappeared",
        "the courier claims I signed for it, I did not", "the package was marked as delivered, it is not here",
        "neither my neighbours nor I have the {thing}", "I think the parcel was stolen from my doorstep",
        "the carrier says they lost my {thing}", "the tracking has not moved for {n} days, it must be lost",
        "somebody else seems to have received my {thing}", "the box was left outside and is gone",
        "they say it was handed over, but to whom", "I checked everywhere and the parcel is nowhere",
        "the depot cannot find my {thing}", "proof of delivery shows a house that is not mine"],
    "change_address": [
        "I moved, please send the {thing} to my new flat", "I typed the wrong street when I ordered",
        "can the parcel go to my office instead", "please correct the house number on my order",
        "I need the delivery address changed before you ship", "the postcode on my order is wrong",
        "send it to my parents' place, not to mine", "could you redirect the {thing} to a pick-up point",
        "I forgot to add the apartment number", "my old address was used for the order",
        "I will be away, deliver it next door at number {n}", "is it too late to have it sent elsewhere",
        "the city is right but the street is not", "please update where this order is going"],
    "cancel_order": [
        "please cancel my order", "I do not want the {thing} any more", "I ordered the {thing} by mistake",
        "stop the order before it ships", "I changed my mind about the {thing}",
        "I found it cheaper elsewhere, so cancel it", "I accidentally ordered two, remove one",
        "how can I call off my purchase", "the delivery takes too long, I would rather cancel",
        "kindly annul the order I placed {ago}",
        "forget about the {thing}, I no longer need it", "can this purchase still be undone before you pack it",
        "withdraw my order please", "my son ordered this without asking, do not send it"],
    "return_item": [
        "I want to send the {thing} back", "how do returns work", "I need a return label for the {thing}",
        "the {thing} does not fit, where do I send it", "I am not happy with the {thing} and would like to return it",
        "what is the address for returns", "is there a deadline for sending things back",
        "can I return the {thing} without the original box", "do I pay the postage if I send it back",
        "I opened the {thing}, can I still give it back",
        "the colour looks different at home, I would like to hand it back", "please arrange a pick-up of the {thing} I do not want",
        "print-at-home label for sending this back?", "it is too small for me, what now"],
    "exchange_item": [
        "can I swap the {thing} for a larger one", "I would like the same {thing} in blue",
        "please exchange it for another size", "I need one size up", "can you replace the colour I chose with black",
        "I want a different model instead of this {thing}", "is it possible to trade the {thing} for the newer version",
        "the size is wrong, send me a medium and I send this one back",
        "instead of the {thing} I would rather have the other one on your site", "how do exchanges work",
        "could I get this in green instead", "too small, I would like the next size up in return",
        "switch my {thing} for the one with the longer cable", "rather than my money I want another colour"],
    "refund_status": [
        "where is my refund", "I sent the {thing} back {ago} and have no money yet", "when do I get my money back",
        "the refund has not reached my account", "you confirmed my return, but nothing was paid",
        "how long does a refund take", "my bank shows no refund for the {thing}",
        "has the money for the returned {thing} been sent", "still waiting for the {amount} you owe me",
        "the refund was announced {n} days ago and is not here",
        "you have had the {thing} back for weeks, what about my {amount}", "nothing has been credited so far",
        "which account did you pay my money back to", "did you issue the repayment yet"],
    "refund_request": [
        "I want my money back", "please refund the {thing}", "I demand a refund for this", "this is not worth {amount}, refund me",
        "give me back what I paid for the {thing}", "I would like to be reimbursed for the {thing}",
        "can I get a partial refund because of the scratches", "refund the shipping costs please",
        "the {thing} is useless, I want {amount} back", "I ask for full repayment of my order",
        "I expect to be compensated for the {thing}", "kindly return the {amount} to my card",
        "this was a waste of money, pay it back", "am I entitled to get the price of the {thing} back"],
    "item_damaged": [
        "the {thing} arrived broken", "there is a crack in the {thing}", "the box was crushed and so is the {thing}",
        "the {thing} came with scratches all over", "a part of it is bent", "the glass was shattered when I opened it",
        "it looks as if somebody dropped my {thing}", "the {thing} was wet when I got it",
        "the packaging was torn and the contents are dented", "the handle was snapped off on arrival",
        "I unpacked it and found it in pieces", "the corner is chipped", "something must have hit the {thing} on the way",
        "the surface is full of dents straight out of the parcel"],
    "item_defective": [
        "the {thing} does not turn on", "the {thing} stopped working after {n} days", "it makes a strange noise and then stops",
        "the battery of my {thing} dies within an hour", "the display stays black", "one of the buttons does nothing",
        "it worked for a week and is dead now", "the {thing} overheats", "it will not charge",
        "the {thing} keeps restarting by itself",
        "no matter what I press, nothing happens", "it switches itself off every few minutes",
        "the sound cuts out all the time", "a fault appeared in the {thing} shortly after I got it"],
    "wrong_item": [
        "you sent me the wrong {thing}", "I ordered a {thing} and got something else", "this is not what I bought",
        "I received somebody else's order", "the colour is not the one I ordered", "the parcel had a different model in it",
        "I asked for a medium and got a small", "the article number does not match my order",
        "instead of a {thing} there was a toy in the box", "wrong product delivered",
        "what is in the box has nothing to do with my order", "I chose red, you delivered grey",
        "there seems to have been a mix-up with another customer", "the label says {thing}, the content says otherwise"],
    "missing_part": [
        "the cable is missing from the box", "only {n} of the items I ordered were in the parcel", "there was no manual with the {thing}",
        "the screws for the {thing} were not included", "one part of the set is not there", "the charger was not in the package",
        "I ordered two and got one", "the lid of the {thing} is missing", "the parcel was incomplete",
        "the batteries that should come with the {thing} are not there",
        "half of my order was not in the box", "where is the remote that belongs to the {thing}",
        "I counted the pieces and one is absent", "the adapter you advertise was left out"],
    "charged_twice": [
        "I was charged twice for the {thing}", "the same amount was taken two times", "you debited {amount} twice",
        "there are two payments for one order on my statement", "my card shows a duplicate charge",
        "I paid once but was billed two times", "double booking on my account", "why did you take the money again",
        "the payment went through twice by accident", "two identical withdrawals from your shop on {day}",
        "my bank lists {amount} and again {amount}", "one purchase, two debits", "you collected the price of the {thing} a second time",
        "please look at the repeated charge on my card"],
    "payment_failed": [
        "my card is declined at checkout", "the payment does not go through", "I get an error when I try to pay",
        "checkout says transaction refused", "I cannot pay with my card", "the payment page freezes",
        "it asks for a code that never arrives when I pay", "my payment was rejected {n} times",
        "why can I not complete the purchase of the {thing}", "the bank transfer was not accepted",
        "every card I try is turned down by your shop", "pressing buy now only shows a red message",
        "the last step of the order fails", "I have enough money but your site will not take it"],
    "invoice_request": [
        "I need an invoice for my order", "please send me the receipt for the {thing}", "where can I download the bill",
        "my company needs an invoice with the VAT number", "the invoice has the wrong company name",
        "I lost the receipt, can you send a copy", "could you issue a proof of purchase", "no bill was in the parcel",
        "I need the document for my tax return", "can the invoice be made out to my employer",
        "our accountant asks for the paperwork of the {thing}", "there was no receipt attached to the mail",
        "kindly provide a bill over {amount}", "a PDF with the tax shown separately, please"],
    "price_or_voucher": [
        "my discount code does not work", "the voucher was not applied", "the price went down after I ordered",
        "I forgot to enter my coupon", "how can I use my gift card", "the {thing} is cheaper now, do I get the difference",
        "the promotion said 20 percent off but I paid the full price", "my loyalty points were not counted",
        "is the code from the newsletter still valid", "checkout says my voucher has expired",
        "you match prices, so please match {amount}", "the reduction you advertise does not show in my basket",
        "I have a coupon left, can it be added afterwards", "why did I pay more than the sale price"],
    "login_problem": [
        "I cannot log in", "my password is not accepted", "the reset mail never arrives", "my account is locked",
        "it says the user does not exist", "I forgot which mail address I used", "the log in page sends me in circles",
        "the confirmation code is always wrong", "I was logged out and cannot get back in", "please reset my password",
        "your site does not let me into my account", "signing in gives me an error", "how do I get a new password",
        "too many attempts, it says, and now I am shut out"],
    "account_change": [
        "please change my e-mail address", "I want to delete my account", "my name is spelled wrong in my profile",
        "how do I change the phone number in my account", "remove my stored card", "unsubscribe me from the newsletter",
        "I got married and need a new surname in my account", "please erase all my data", "how can I update my profile",
        "stop sending me advertisements",
        "I have a new mobile number", "close my customer account for good", "merge my two accounts into one",
        "which data do you keep about me, and please correct my birthday"],
    "product_question": [
        "is the {thing} waterproof", "does the {thing} work with a Mac", "how long is the warranty of the {thing}",
        "what are the dimensions of the {thing}", "when will the {thing} be back in stock", "is a cable included with the {thing}",
        "can I use the {thing} abroad", "which size should I take if I am between two", "is the {thing} made in Europe",
        "how heavy is the {thing}", "what material is the {thing} made of", "do you also sell spare parts for the {thing}",
        "is this the right {thing} for a beginner", "does it come in other colours"],
}

# Belongs to no intent, though it comes to the same mailbox.
OUT_OF_SCOPE = [
    "do you have open positions in your warehouse", "I would like to sell my products on your site",
    "what is the weather like tomorrow", "can you recommend a good restaurant nearby", "happy birthday to the whole team",
    "we offer search engine optimisation at a fair price", "who is the head of your company", "tell me a joke",
    "I am writing a school paper about online trade", "your advertisement on the radio is funny",
    "is your office wheelchair accessible", "please support our football club", "how old are you",
    "what time is it in Tokyo", "our meeting is moved to {day}", "translate good morning into French",
    "do you invest in start-ups", "the lift in our building is broken again", "I want to book a flight to Rome",
    "my neighbour is too loud at night", "can you help me with my homework", "we are a newspaper and ask for an interview",
    "which party should I vote for", "where can I park near your shop", "your building has a broken window at the back",
    "I would like to thank {name} for the kind advice", "is the museum open on {day}", "how do I cook rice",
    "remind me to call my mother", "the minutes of the meeting are attached", "play some music",
    "do you need a new cleaning company", "my dog ate your catalogue, funny story", "what is the capital of Peru",
    "I am looking for my lost cat", "please find attached my application", "how many people work for you",
    "congratulations on the anniversary", "the traffic in front of your shop is dangerous", "turn off the lights"]
OOS_TEST = 16  # the last ones appear only in the test file

THINGS = ("headphones kettle backpack desk lamp phone case keyboard jacket pair of shoes coffee machine monitor drill "
          "blanket mixer watch tent speaker chair bicycle light toothbrush printer").replace("desk lamp", "desk_lamp") \
    .replace("phone case", "phone_case").replace("pair of shoes", "pair_of_shoes").replace("coffee machine", "coffee_machine") \
    .replace("bicycle light", "bicycle_light").split()
THINGS = [t.replace("_", " ") for t in THINGS]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday".split()
AGO = ["two weeks ago", "last week", "ten days ago", "on Monday", "yesterday", "in March", "a month ago"]
NAMES = "Anna Ben Carla David Elif Farid Grace Hugo Ines Jonas Kim Lea".split()
OPENERS = ["hi", "hello", "hello team", "dear support", "good morning", "hey there", "to whom it may concern", "hi again"]
CLOSERS = ["thanks", "thank you", "best regards {name}", "please help", "please answer soon", "regards, {name}",
           "this is urgent", "I am really disappointed", "thanks in advance", "cheers", "my order number is {order}",
           "order {order}", "customer number {order}"]
CONTEXT = [  # sentences that say nothing about the intent, or hint at another one
    "I have been a customer for years", "I already called twice", "this is the second time I write",
    "the order number is {order}", "it is a present for my sister", "I paid with my credit card",
    "the courier was friendly, by the way", "I looked at the help page and found nothing",
    "the last time I returned something it went well", "I do not need a refund yet", "the {thing} itself is fine",
    "I paid {amount} for it", "delivery was quick", "I am not asking where my parcel is", "tracking looks fine to me",
    "your chat did not know the answer", "I do not want to cancel it", "a friend recommended your shop",
    "the invoice says {amount}", "I still have the box", "I logged in without trouble", "my address has not changed",
    "I bought it {ago}", "the colleague on the phone told me to write here"]


def fill(text: str, rng: random.Random) -> str:
    for name, value in (("{thing}", rng.choice(THINGS)), ("{ago}", rng.choice(AGO)), ("{day}", rng.choice(DAYS)),
                        ("{n}", str(rng.randrange(2, 15))), ("{amount}", f"{rng.randrange(9, 300)} euros"),
                        ("{order}", str(rng.randrange(10**6, 10**7))), ("{name}", rng.choice(NAMES))):
        text = text.replace(name, value)
    return text


def mistype(text: str, rng: random.Random) -> str:
    """One typing error: two letters swapped, one lost, doubled, or replaced by its neighbour."""
    letters = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not letters:
        return text
    i = rng.choice(letters)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    if kind == 1:
        return text[:i] + text[i + 1:]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    row = next((r for r in ("qwertyuiop", "asdfghjkl", "zxcvbnm") if text[i].lower() in r), "as")
    return text[:i] + row[(row.find(text[i].lower()) + 1) % len(row)] + text[i + 1:]


def ticket(core: str, rng: random.Random) -> str:
    parts = [core]
    for _ in range(rng.choices((0, 1, 2, 3), (60, 26, 10, 4))[0]):
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(CONTEXT))
    if rng.random() < 0.35:
        parts.insert(0, rng.choice(OPENERS))
    if rng.random() < 0.35:
        parts.append(rng.choice(CLOSERS))
    style = rng.randrange(3)
    if style == 0:      # as written on a phone
        text = " ".join(parts).lower()
    elif style == 1:    # careful
        text = ". ".join(p[0].upper() + p[1:] for p in parts) + rng.choice((".", ".", "?", "!"))
    else:
        text = ", ".join(parts) + rng.choice(("", "", "!!", "...", "?"))
    text = fill(text, rng)
    for _ in range(rng.choices((0, 1, 2, 4), (55, 25, 14, 6))[0]):
        text = mistype(text, rng)
    return text


def rows(cores: list[str], label: str, count: int, rng: random.Random, seen: set[str]) -> list[tuple[str, str]]:
    out = []
    while len(out) < count:
        text = ticket(cores[len(out) % len(cores)], rng)
        if text.lower() not in seen:
            seen.add(text.lower())
            out.append((text, label))
    return out


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    rng = random.Random(20)
    seen: set[str] = set()
    train, test = [], []
    for label, cores in INTENTS.items():
        assert len(cores) == 14, (label, len(cores))
        train += rows(cores[:-TEST_CORES], label, TRAIN_ROWS, rng, seen)
        unseen = TEST_ROWS // UNSEEN
        test += rows(cores[-TEST_CORES:], label, unseen, rng, seen)
        test += rows(rng.sample(cores[:-TEST_CORES], len(cores) - TEST_CORES), label, TEST_ROWS - unseen, rng, seen)
    train += rows(OUT_OF_SCOPE[:-OOS_TEST], "oos", TRAIN_OOS, rng, seen)
    test += rows(OUT_OF_SCOPE[-OOS_TEST:], "oos", TEST_OOS, rng, seen)
    target.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", train), ("test", test)):
        rng.shuffle(part)
        with (target / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("text", "intent"))
            writer.writerows(part)
        print(f"{name}.csv: {len(part)} rows")


if __name__ == "__main__":
    main()
