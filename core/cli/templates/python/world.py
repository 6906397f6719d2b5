"""A world for efference's environment `process`: a walker on a line, who is to stay near 0.

`World` is the world; `serve` talks to efference over standard input and output, and need not be changed. Nothing but
Python 3 is needed. What is printed belongs on standard error: standard output is the conversation.
"""
import json
import pickle
import random
import struct
import sys


class World:
    """One stream. `observation` numbers in -1…1 are seen; None is a missing one."""

    observation = 2
    actions = [{"choice": 3}]  # left, stay, right; a value in -1…1 is "value"
    time_limit = 50
    # Elements that are a picture, row by row, of 1 channel (grey) or 3, to be drawn:
    # {"offset": 0, "width": 8, "height": 8, "channels": 1}
    picture = None

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.begin()

    def begin(self):
        """Begins an episode."""
        self.place, self.time = 0.0, 0

    def observe(self):
        return [max(-1.0, min(1.0, self.place)), self.time / self.time_limit]

    def reward(self):
        """What is to be maximised, in -1…1; None where there is none."""
        if self.time == 0:
            return None
        return -1.0 if abs(self.place) > 1 else 1.0 - abs(self.place)

    def step(self):
        """Where the frame stands in an episode. In a world without episodes it is always "middle"."""
        if self.time == 0:
            return "first"
        if abs(self.place) > 1:
            return "terminated"
        return "truncated" if self.time == self.time_limit else "middle"

    def act(self, action):
        """Moves on. `action` is one number for a value, and one for each choice, of which the chosen one is 1."""
        self.place += 0.1 * (action.index(1.0) - 1) + self.random.uniform(-0.1, 0.1)
        self.time += 1


def serve(make_world, read, write):
    """Plays a world until the host has heard enough. The page of the environment `process` has the whole protocol."""

    def send(message, data=b""):
        write.write(json.dumps(message).encode() + b"\n" + data)
        write.flush()

    def show():
        frame = {"stream": 0, "step": world.step(), "reward": world.reward()}
        numbers = [float("nan") if number is None else number for number in world.observe()]
        send({"frames": [frame]}, struct.pack(f"<{len(numbers)}f", *numbers))

    world = make_world(json.loads(read.readline())["seed"])
    hello = {"efference": 1, "observation": world.observation, "actions": world.actions, "restores": "exact"}
    if world.picture is not None:
        hello["picture"] = world.picture
    send(hello)
    show()
    for line in read:  # until the host closes
        message = json.loads(line)
        if "responses" in message:
            response = message["responses"][0]
            prediction, action = response["prediction"], response["action"]
            numbers = struct.unpack(f"<{prediction + action}f", read.read(4 * (prediction + action)))
            if world.step() in ("terminated", "truncated"):
                world.begin()
            else:
                world.act(list(numbers[prediction:]))
            show()
        elif "save" in message:
            saved = pickle.dumps(world)
            send({"saved": len(saved)}, saved)
        elif "restore" in message:
            world = pickle.loads(read.read(message["restore"]))
            send({"restored": True})
            show()


if __name__ == "__main__":
    serve(World, sys.stdin.buffer, sys.stdout.buffer)
