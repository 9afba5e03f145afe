#!/usr/bin/env python3
"""What tools/prepare_sets.py decides about rows, on rows made for it."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import prepare_sets as sets


class PrepareSets(unittest.TestCase):
    def test_copies_and_conflicts(self):
        rows = [("a", "x"), ("a", "x"), ("b", "x"), ("b", "y"), ("c", "y")]
        self.assertEqual(sets.once(rows), ([("a", "x"), ("c", "y")], 1, 2))

    def test_near_duplicates(self):
        texts = ["Profit rose to EUR 3.5 mn from EUR 2.1 mn", "Profit fell to EUR 13 mn from EUR 9 mn",
                 "The company moves to Oslo"]
        self.assertEqual(list(sets.near_duplicates(texts)), [(0, 1)])

    def test_near_duplicates_agree_with_every_pair_compared(self):
        texts = [f"{a} {b} {c} and more words" for a in "xy" for b in "pq" for c in "uvw"]
        shingled = [sets.shingles(text) for text in texts]
        slow = {(i, j) for j in range(len(texts)) for i in range(j)
                if len(shingled[i] & shingled[j]) >= 0.5 * len(shingled[i] | shingled[j])}
        self.assertEqual(set(sets.near_duplicates(texts)), slow)

    def test_groups_are_transitive(self):
        # 0 resembles 1 and 1 resembles 2, 0 does not resemble 2.
        texts = ["a b c d e f g", "b c d e f g h i", "d e f g h i j k", "l m n"]
        group = sets.groups(texts)
        self.assertEqual(list(sets.near_duplicates(texts)), [(0, 1), (1, 2)])
        self.assertEqual(group[0], group[2])
        self.assertNotEqual(group[0], group[3])

    def test_sentences_lose_what_names_their_section(self):
        self.assertEqual(list(sets.sentences("\u2022 Medical Reasoning: He is stable. Mr. Smith agrees.")),
                         ["He is stable.", "Mr. Smith agrees."])
        self.assertEqual(list(sets.sentences("2. Type 2 diabetes")), ["Type 2 diabetes"])
        self.assertEqual(list(sets.sentences("98.6")), [])


if __name__ == "__main__":
    unittest.main()
