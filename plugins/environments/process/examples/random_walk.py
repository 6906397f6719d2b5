"""A world for the environment plugin `process`: stay near 0 on a line. Needs nothing but Python 3."""
import json
import pickle
import random
import struct
import sys

read, write = sys.stdin.buffer, sys.stdout.buffer


def send(message, numbers=(), data=b""):
    write.write(json.dumps(message).encode() + b"\n" + struct.pack(f"<{len(numbers)}f", *numbers) + data)
    write.flush()


hello = json.loads(read.readline())
chance = random.Random(hello["seed"])
send({"efference": 1, "observation": 2, "actions": [{"choice": 3}], "restores": "exact"})
place, time = 0.0, 0


def show():
    over = abs(place) > 1
    step = "first" if time == 0 else "terminated" if over else "truncated" if time == 50 else "middle"
    reward = None if time == 0 else -1.0 if over else 1.0 - abs(place)
    send({"frames": [{"stream": 0, "step": step, "reward": reward}]}, [max(-1, min(1, place)), time / 50])


show()
for line in read:  # until the host closes
    message = json.loads(line)
    if "responses" in message:
        response = message["responses"][0]
        count = response["prediction"] + response["action"]
        numbers = struct.unpack(f"<{count}f", read.read(4 * count))
        if abs(place) > 1 or time == 50:
            place, time = 0.0, 0
        else:
            place += 0.1 * (numbers[response["prediction"]:].index(1.0) - 1) + chance.gauss(0, 0.05)
            time += 1
        show()
    elif "save" in message:
        state = pickle.dumps((place, time, chance.getstate()))
        send({"saved": len(state)}, data=state)
    elif "restore" in message:
        place, time, state = pickle.loads(read.read(message["restore"]))
        chance.setstate(state)
        send({"restored": True})
        show()
