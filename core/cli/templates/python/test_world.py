"""Tests of the world: python3 test_my_plugin.py"""
import io
import json
import struct
import unittest

from my_plugin import World, serve

LEFT, STAY, RIGHT = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


class WorldTest(unittest.TestCase):
    def test_who_walks_right_all_the_time_falls_off(self):
        world = World(seed=1)
        while world.step() in ("first", "middle"):
            world.act(RIGHT)
        self.assertEqual(world.step(), "terminated")
        self.assertEqual(world.reward(), -1.0)

    def test_the_seed_decides(self):
        def places(seed):
            world = World(seed)
            return [(world.act(STAY), world.place) for _ in range(10)]

        self.assertEqual(places(1), places(1))
        self.assertNotEqual(places(1), places(2))

    def test_what_is_seen_lies_in_range_and_is_as_long_as_it_says(self):
        world = World(seed=3)
        for number in range(1_000):
            seen = world.observe()
            self.assertEqual(len(seen), World.observation)
            self.assertTrue(all(number is None or -1 <= number <= 1 for number in seen), seen)
            if world.step() in ("terminated", "truncated"):
                world.begin()
            else:
                world.act([LEFT, STAY, RIGHT][number % 3])

    def test_it_speaks_with_the_host(self):
        numbers = struct.pack("<5f", 0.0, 0.0, *RIGHT)
        response = {"responses": [{"stream": 0, "prediction": 2, "action": 3}]}
        lines = [json.dumps({"efference": 1, "seed": 7, "folder": None}), json.dumps(response)]
        said = io.BytesIO("".join(line + "\n" for line in lines).encode() + numbers)
        answers = io.BytesIO()
        serve(World, said, answers)
        answers.seek(0)
        self.assertEqual(json.loads(answers.readline())["observation"], 2)
        first = json.loads(answers.readline())["frames"][0]
        self.assertEqual(first, {"stream": 0, "step": "first", "reward": None})
        self.assertEqual(struct.unpack("<2f", answers.read(8)), (0.0, 0.0))
        self.assertEqual(json.loads(answers.readline())["frames"][0]["step"], "middle")


if __name__ == "__main__":
    unittest.main()
