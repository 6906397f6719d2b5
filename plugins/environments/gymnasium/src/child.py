"""What runs in the child: the environments, and the other end of the protocol of `session.rs`.

Numbers go through shared memory (words of 8 bytes, see `layout.rs`), everything else as lines of JSON over a socket, which
is this program's standard input until it takes that away. An empty line means: look into the memory.
"""
import os
import socket

# Before anything else is imported, which might print or read: what is printed goes to the run's log.
control = socket.socket(fileno=os.dup(0))
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
os.close(null)
os.dup2(2, 1)

import copyreg
import difflib
import importlib
import io
import json
import math
import mmap
import pickle
import random
import select
import sys
import threading
import time
import traceback
import warnings

COMMAND, DONE, HOST_WAITS, CHILD_WAITS = range(4)
# Where a frame stands in an episode, as in the host; and before the first.
FIRST, MIDDLE, TERMINATED, TRUNCATED, NOTHING = 1, 0, 2, 3, -1
# Seconds that it looks into the memory for before it sleeps; that may usually pass for it to be worth that; and how many times
# it does without at most, where it did not help.
SPIN, SPIN_WITHIN, MOST_PAUSE = 100e-6, 2e-3, 1024
# Bytes of a pickled environment up to which it is saved.
MOST_SAVED = 64 << 20
# Ids that begin so are registered by a module: its name, and a function of it that is to be called.
REGISTERED_BY = [
    ("ALE/", "ale_py", None),
    ("popgym-", "popgym", None),
    ("MinAtar/", "minatar.gym", "register_envs"),
    ("MiniGrid-", "minigrid", None),
    ("BabyAI-", "minigrid", None),
]


class Refused(Exception):
    """What ends this program before or in a step, with what the host needs to make a sentence of it."""

    def __init__(self, error, **more):
        super().__init__(error)
        self.message = {"error": error, **more}


class Control:
    """The socket."""

    def __init__(self):
        self.read = b""

    def fill(self):
        more = control.recv(1 << 16)
        if not more:
            sys.exit()  # The host has gone, or closes this.
        self.read += more

    def line(self):
        while b"\n" not in self.read:
            self.fill()
        line, _, self.read = self.read.partition(b"\n")
        return line

    def bytes(self, count):
        while len(self.read) < count:
            self.fill()
        wanted, self.read = self.read[:count], self.read[count:]
        return wanted

    def send(self, message, payload=b""):
        control.sendall(json.dumps(message).encode() + b"\n" + payload)


def last_line(error):
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def load(setup):
    """Imports Gymnasium and what registers the id."""
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        raise Refused("missing", module=error.name) from error
    modules = [(module, None) for module in setup["import"]]
    modules += [(module, call) for prefix, module, call in REGISTERED_BY if setup["id"].startswith(prefix)]
    for module, call in modules:
        try:
            module = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise Refused("missing", module=error.name) from error
        if call is not None and hasattr(module, call):
            getattr(module, call)()
    return gymnasium


def nearest(gymnasium, name):
    """Ids that are written like this one, the nearest first."""
    known = {str(known).lower(): str(known) for known in gymnasium.registry}
    name = name.lower()
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    # The same name in another namespace or version.
    stem = name.rsplit("/", 1)[-1].rsplit("-v", 1)[0]
    close += [other for other in known if stem and other.rsplit("/", 1)[-1].rsplit("-v", 1)[0] == stem]
    return [known[other] for other in dict.fromkeys(close)][:3]


def make(gymnasium, setup):
    """One environment."""
    arguments = dict(setup["arguments"])
    if setup["render"]:
        arguments.setdefault("render_mode", "rgb_array")
    try:
        env = gymnasium.make(setup["id"], **arguments)
    except gymnasium.error.DependencyNotInstalled as error:
        raise Refused("dependency", text=str(error)) from error
    except ModuleNotFoundError as error:
        raise Refused("missing", module=error.name) from error
    except Exception as error:
        if setup["id"].rpartition(":")[2] in gymnasium.registry:
            raise
        raise Refused("unknown", text=str(error), nearest=nearest(gymnasium, setup["id"])) from error
    for wrapper in setup["wrappers"]:
        module, _, name = wrapper.partition(":")
        try:
            wrap = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise Refused("missing", module=error.name) from error
        except AttributeError as error:
            raise Refused("wrapper", module=module, name=name) from error
        env = wrap(env)
    if setup["render"] and env.render_mode != "rgb_array":
        raise Refused("render", modes=list(env.metadata.get("render_modes", [])))
    return env


def bounds(values):
    """A number where all are equal, else each; `None` where there is none."""

    def one(value):
        return value if math.isfinite(value) and abs(value) < 1e30 else None

    values = [float(value) for value in values.flat] if values.size else [0.0]
    first = values[0]
    return one(first) if all(value == first for value in values) else [one(value) for value in values]


def integers(values):
    return [int(value) for value in values.flat]


def leaves(gymnasium, space, path, place, without, found):
    """Adds what `space` consists of to `found`: descriptions, and Python's words for where each is in a sample."""
    spaces = gymnasium.spaces
    if path in without:
        without.remove(path)
    elif isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            leaves(gymnasium, part, f"{path}.{key}" if path else str(key), f"{place}[{key!r}]", without, found)
    elif isinstance(space, spaces.Tuple):
        for key, part in enumerate(space.spaces):
            leaves(gymnasium, part, f"{path}.{key}" if path else str(key), f"{place}[{key}]", without, found)
    elif isinstance(space, spaces.Discrete):
        start = int(getattr(space, "start", 0))
        found.append(({"kind": "discrete", "path": path, "n": int(space.n), "start": start}, place))
    elif isinstance(space, spaces.MultiDiscrete):
        start = getattr(space, "start", None)
        start = [0] * space.nvec.size if start is None else integers(start)
        leaf = {"kind": "multi_discrete", "path": path, "shape": list(space.nvec.shape)}
        found.append(({**leaf, "n": integers(space.nvec), "start": start}, place))
    elif isinstance(space, spaces.MultiBinary):
        found.append(({"kind": "multi_binary", "path": path, "shape": list(space.shape)}, place))
    elif isinstance(space, spaces.Box):
        kind, size = space.dtype.kind, space.dtype.itemsize
        if kind not in "biuf" or size > 8:
            raise Refused("dtype", path=path, dtype=str(space.dtype))
        # Half floats travel as floats.
        dtype = "f4" if (kind, size) == ("f", 2) else f"{kind}{size}"
        leaf = {"kind": "box", "path": path, "dtype": dtype, "shape": list(space.shape)}
        found.append(({**leaf, "low": bounds(space.low), "high": bounds(space.high)}, place))
    else:
        raise Refused("space", path=path, space=type(space).__name__)


def numpy_of(dtype):
    import numpy

    names = {"b": "bool", "i": "int", "u": "uint", "f": "float"}
    return numpy.dtype("bool" if dtype[0] == "b" else names[dtype[0]] + str(8 * int(dtype[1:])))


def view(memory, leaf, offset):
    """An array of a leaf's numbers in the memory."""
    import numpy

    dtype = {"box": leaf.get("dtype"), "multi_discrete": "i8", "multi_binary": "i1"}[leaf["kind"]]
    shape = leaf["shape"]
    numbers = numpy.frombuffer(memory, numpy_of(dtype), math.prod(shape), offset)
    return numbers.reshape(shape)


def misfit(name, leaf, value):
    """An array that is not of the shape that the space says: a list that is, or a refusal."""
    import numpy

    value = numpy.asarray(value)
    shape = tuple(leaf["shape"])
    if value.shape != shape:
        raise Refused("shape", path=leaf["path"], stream=name, wanted=list(shape), came=list(value.shape))
    return value


def no_number(leaf, stream, what, value):
    raise Refused("number", path=leaf["path"], stream=stream, what=what, value=repr(value)[:100])


def writer(observation, slots, names, stream):
    """The lines that write an observation `o` to the memory."""
    lines = []
    for index, ((leaf, place), offset) in enumerate(zip(observation, slots)):
        lines.append(f"x = o{place}")
        if leaf["kind"] == "discrete":
            lines += [
                "try:",
                f"    Q[{offset // 8}] = x",
                "except (TypeError, ValueError):",
                f"    no_number(L{index}, {stream}, 'an observation', x)",
            ]
        else:
            names[f"S{index}"] = tuple(leaf["shape"])
            names[f"V{index}"] = view(names["memory"], leaf, offset)
            lines += [
                f"if getattr(x, 'shape', None) != S{index}:",
                f"    x = misfit({stream}, L{index}, x)",
                f"V{index}[...] = x",
            ]
        names[f"L{index}"] = leaf
    return lines


def action_words(space, gymnasium, slots, names):
    """Python's words for an action that is read from the memory. Takes the slots of its leaves from `slots`."""
    spaces = gymnasium.spaces
    if isinstance(space, spaces.Dict):
        parts = [f"{key!r}: {action_words(part, gymnasium, slots, names)}" for key, part in space.spaces.items()]
        return "{" + ", ".join(parts) + "}"
    if isinstance(space, spaces.Tuple):
        return "(" + "".join(action_words(part, gymnasium, slots, names) + ", " for part in space.spaces) + ")"
    leaf, offset = slots.pop(0)
    if leaf["kind"] == "discrete":
        return f"Q[{offset // 8}]"
    name = f"A{offset}"
    names[name] = view(names["memory"], leaf, offset)
    # A copy: environments may keep what they get.
    if names[name].dtype == space.dtype:
        return f"{name}.copy()"
    names[f"D{offset}"] = space.dtype
    return f"{name}.astype(D{offset})"


def stepper(gymnasium, env, stream, seed, memory, layout, observation, action):
    """A function that makes one step of one stream. It is written out for the spaces, and so has nothing to look up."""
    slots = layout["streams"][stream]
    names = {"memory": memory, "Q": memory.cast("q"), "R": memory.cast("d"), "misfit": misfit, "no_number": no_number}
    names.update(step=env.step, reset=env.reset, seed=seed)
    write = writer(observation, slots["observation"], names, stream)
    act = action_words(env.action_space, gymnasium, list(zip(action, slots["action"])), names)
    kind, reward = slots["step_type"] // 8, slots["reward"] // 8
    names["REWARD"] = {"path": ""}
    lines = [
        "def one():",
        f"    if {MIDDLE} == Q[{kind}] or Q[{kind}] == {FIRST}:",
        f"        o, r, terminated, truncated, _ = step({act})",
        "        try:",
        f"            R[{reward}] = r",
        "        except TypeError:",
        f"            no_number(REWARD, {stream}, 'a reward', r)",
        f"        Q[{kind}] = {TERMINATED} if terminated else {TRUNCATED} if truncated else {MIDDLE}",
        "    else:",
        f"        o, _ = reset(seed=seed) if Q[{kind}] == {NOTHING} else reset()",
        f"        R[{reward}] = 0.0",
        f"        Q[{kind}] = {FIRST}",
    ]
    lines += ["    " + line for line in write]
    exec(compile("\n".join(lines), "<a step, written out for the spaces>", "exec"), names)
    return names["one"]


def set_state(thing, state):
    thing.__dict__.update(state)


class Pickler(pickle.Pickler):
    """Pickles environments as they are, and not as `EzPickle` would: with their arguments alone, and so as new ones."""

    def reducer_override(self, thing):
        from gymnasium.utils import EzPickle

        if isinstance(thing, EzPickle):
            return copyreg.__newobj__, (type(thing),), thing.__dict__, None, None, set_state
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(thing, numpy.dtype) and thing.isbuiltin == 1:
            # By its name, whereby it is the one that NumPy has, and no other one like it.
            return numpy.dtype, (thing.str,)
        return NotImplemented


def save(env):
    to = io.BytesIO()
    Pickler(to, pickle.HIGHEST_PROTOCOL).dump(env)
    if to.tell() > MOST_SAVED:
        raise ValueError(f"one environment takes {to.tell() >> 20} MiB")
    return to.getvalue()


def why_not_exact(env):
    """Whether an environment can be saved: copies of one that was saved in the middle of an episode must go on alike, and
    like the one that they are of. Returns the reason if they don't, and says nothing of environments that have one later."""
    try:
        one = pickle.loads(save(env))
        sampler = pickle.loads(pickle.dumps(env.action_space))
        sampler.seed(1)
        one.reset(seed=1)
        for length in (7, 40):
            for _ in range(length):
                _, _, terminated, truncated, _ = one.step(sampler.sample())
                if terminated or truncated:
                    one.reset()
            saved = save(one)
            two, three = pickle.loads(saved), pickle.loads(saved)
            for _ in range(40):
                action = sampler.sample()
                came = [pickle.dumps(each.step(action)[:4]) for each in (one, two, three)]
                if not came[0] == came[1] == came[2]:
                    return "copies of it do not go on alike"
                if True in pickle.loads(came[0])[2:]:
                    came = [pickle.dumps(each.reset()[0]) for each in (one, two, three)]
                    if not came[0] == came[1] == came[2]:
                        return "copies of it do not begin episodes alike"
        return None
    except Exception as error:
        return last_line(error)


lock = threading.Lock()
lock.acquire()


def barrier():
    """What was read and written before it comes before what is read and written behind it, for other processes too."""
    lock.release()
    lock.acquire()


class Child:
    """The environments and what is said about them."""

    def __init__(self):
        self.control = Control()

    def start(self):
        setup = self.setup = json.loads(self.control.line())
        random.seed(setup["seed"])
        gymnasium = self.gymnasium = load(setup)
        self.envs = [make(gymnasium, setup) for _ in range(setup["streams"])]
        first = self.envs[0]
        without = list(setup["without"])
        self.observation, self.action = [], []
        leaves(gymnasium, first.observation_space, "", "", without, self.observation)
        if without:
            known = []
            leaves(gymnasium, first.observation_space, "", "", [], known)
            raise Refused("without", paths=without, known=[leaf["path"] for leaf, _ in known])
        try:
            leaves(gymnasium, first.action_space, "", "", [], self.action)
        except Refused as error:
            error.message["action"] = True
            raise
        why = why_not_exact(first)
        versions = [sys.version.split()[0], str(getattr(gymnasium, "__version__", "?"))]
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(setup["seed"] & 0xFFFFFFFF)
            versions.append(sys.modules["numpy"].__version__)
        random.seed(setup["seed"])
        self.control.send({
            "observation": [leaf for leaf, _ in self.observation],
            "action": [leaf for leaf, _ in self.action],
            "why_not_exact": why,
            "versions": versions,
        })
        # The memory's file comes with the first bytes of the line.
        self.control.read, files, _, _ = socket.recv_fds(control, 1 << 16, 1)
        self.layout = json.loads(self.control.line())
        if not files:
            sys.exit()
        self.memory = memoryview(mmap.mmap(files[0], self.layout["size"]))
        os.close(files[0])
        self.words = self.memory.cast("q")
        self.write_out()
        self.control.send({"ready": True})

    def write_out(self):
        action = [leaf for leaf, _ in self.action]
        self.steppers = [
            stepper(self.gymnasium, env, stream, self.setup["seeds"][stream], self.memory, self.layout,
                    self.observation, action)
            for stream, env in enumerate(self.envs)
        ]

    def answer(self, line):
        """Does what a message wants."""
        if not line:
            return
        message = json.loads(line)
        if "render" in message:
            picture = self.envs[message["render"]].render()
            import numpy

            picture = numpy.ascontiguousarray(picture, dtype=numpy.uint8)
            if picture.ndim != 3 or picture.shape[2] != 3:
                raise Refused("rendered", shape=list(picture.shape))
            self.control.send({"rendered": list(picture.shape[:2]), "bytes": picture.size}, picture.tobytes())
        elif "save" in message:
            # Of a copy: what was restored once is then saved as what never was. (A pickle shows which equal strings are one.)
            saved = [save(pickle.loads(save(env))) for env in self.envs]
            self.control.send({"saved": [len(env) for env in saved], "bytes": sum(map(len, saved))}, b"".join(saved))
        elif "restore" in message:
            saved = [self.control.bytes(length) for length in message["restore"]]
            old, self.envs = self.envs, [pickle.loads(env) for env in saved]
            self.write_out()
            del old
            self.control.send({"restored": True})

    def block(self, until):
        """Sleeps until the host wants something, or the time has come."""
        words = self.words
        words[CHILD_WAITS] = 1
        barrier()  # The host sees that this waits, or this sees what the host wants.
        while words[COMMAND] == words[DONE]:
            if until is not None and not self.control.read:
                left = until - time.perf_counter()
                if left <= 0.0:
                    break
                if not select.select([control], [], [], left)[0]:
                    break
            self.answer(self.control.line())
        words[CHILD_WAITS] = 0

    def run(self):
        """Makes steps until the host goes."""
        words, clock = self.words, time.perf_counter
        # Processors other than x86 may show the host what this writes in another order.
        reorders = os.uname().machine not in ("x86_64", "i686")
        # How long the host usually takes; how often not to spin, since it did not help; and how often the next time.
        usual, pause, longer = 0.0, 0, 1
        while True:
            began = clock()
            if pause:
                pause -= 1
            elif usual < SPIN_WITHIN and words[COMMAND] == words[DONE]:
                if usual > SPIN:
                    self.block(began + usual - SPIN)
                until = clock() + SPIN
                while words[COMMAND] == words[DONE] and clock() < until:
                    pass
                if words[COMMAND] == words[DONE]:
                    pause, longer = longer, min(2 * longer, MOST_PAUSE)
                else:
                    longer = 1
            if words[COMMAND] == words[DONE]:
                self.block(None)
            # What took long once says little of the next time.
            usual += 0.1 * (min(clock() - began, 2 * usual + SPIN) - usual)
            if reorders:
                barrier()
            for one in self.steppers:
                one()
            if reorders:
                barrier()
            words[DONE] = words[COMMAND]
            barrier()  # The host sees that it is done, or this sees that the host waits.
            if words[HOST_WAITS]:
                control.sendall(b"\n")


def main():
    child = Child()
    try:
        child.start()
        child.run()
    except Refused as refused:
        child.control.send(refused.message)
    except SystemExit as end:
        if end.code is not None:
            raise  # of an environment, and not of `fill`
    except BaseException as error:
        # The traceback goes where what is printed goes; the host shows the end of it.
        traceback.print_exc()
        sys.stderr.flush()
        child.control.send({"error": "failed", "text": last_line(error)})


main()
