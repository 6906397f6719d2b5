"""Not Gymnasium: a package of its name whose environments do what they must not. Needs nothing but Python."""
import os
import signal
import sys
import time

from . import error, spaces, utils


class Counting:
    """Observes the number of the step; a reward of 1 in the fifth, which ends the episode."""

    observation_space, action_space = spaces.Discrete(10), spaces.Discrete(2)
    render_mode, metadata = None, {"render_modes": ["human"]}

    def reset(self, seed=None):
        self.count = 0
        return 0, {}

    def step(self, action):
        self.count += 1
        return self.count, float(self.count == 5), self.count == 5, False, {}


class After(Counting):
    """Does something in the third step."""

    def step(self, action):
        if self.count == 2:
            return self.fault()
        return super().step(action)


def of(base=After, **members):
    return type("World", (base,), members)


def dies(self):
    print("farewell")
    os._exit(7)


def is_killed(self):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(self):
    print("I am tired")
    time.sleep(1000)


def raises(self):
    raise ValueError("the world is flat")


def prints(self, action):
    """On everything that a program has to print on; reads from what it has to read from."""
    print("to stdout")
    sys.__stdout__.write("x" * 5000 + "\n")
    os.write(1, b"raw \xff\x00\n")
    os.write(2, b"{\"ready\": true}\n")
    assert sys.stdin.read() == ""
    return Counting.step(self, action)


def writes_on_descriptors(self):
    for descriptor in range(3, 50):
        try:
            os.write(descriptor, b"nonsense\n")
        except OSError:
            pass
    time.sleep(1000)


def closes_descriptors(self):
    os.closerange(3, 50)
    return 0, 0.0, False, False, {}


def leaves(self, seed=None):
    sys.exit(3)


def its_id(self, action):
    return 0, float(os.getpid()), False, False, {}


WORLDS = {
    "Counting-v0": Counting,
    "Dies-v0": of(fault=dies),
    "Killed-v0": of(fault=is_killed),
    "Hangs-v0": of(fault=hangs),
    "Raises-v0": of(fault=raises),
    "Prints-v0": of(Counting, step=prints),
    "Nonsense-v0": of(fault=writes_on_descriptors),
    "Closes-v0": of(fault=closes_descriptors),
    "Leaves-v0": of(Counting, reset=leaves),
    "HangsAtFirst-v0": of(Counting, reset=lambda self, seed=None: time.sleep(1000)),
    "Id-v0": of(Counting, step=its_id),
    "Four-v0": of(fault=lambda self: (3, 0.0, False, {})),
    "Beyond-v0": of(fault=lambda self: (10, 0.0, False, False, {})),
    "Text-v0": of(fault=lambda self: ("three", 0.0, False, False, {})),
    "NoReward-v0": of(fault=lambda self: (3, None, False, False, {})),
    "NanReward-v0": of(fault=lambda self: (3, float("nan"), False, False, {})),
    "Sequence-v0": of(Counting, observation_space=spaces.Tuple([spaces.Discrete(2), spaces.Sequence()])),
    "Says-v0": of(Counting, action_space=spaces.Text()),
    "Nothing-v0": of(Counting, observation_space=spaces.Tuple([])),
}
registry = dict.fromkeys(WORLDS)


def make(id, **arguments):
    if id not in registry:
        raise error.UnregisteredEnv(f"`{id}` is not there.")
    if "need" in arguments:
        raise error.DependencyNotInstalled(arguments["need"] + " is not installed")
    if "wait" in arguments:
        time.sleep(arguments["wait"])
    return WORLDS[id]()
