import random


class Discrete:
    def __init__(self, n):
        self.n, self.start = n, 0

    def seed(self, seed):
        self.generator = random.Random(seed)

    def sample(self):
        return self.generator.randrange(self.n)


class Tuple:
    def __init__(self, spaces):
        self.spaces = spaces


class Dict(Tuple):
    pass


class MultiDiscrete:
    pass


class MultiBinary:
    pass


class Box:
    pass


class Text:
    pass


class Sequence:
    pass
