"""Environments for tests with the real Gymnasium: of all spaces at once, and some that do not fit their spaces."""
import gymnasium
import numpy
from gymnasium import spaces

EVERYTHING = spaces.Dict({
    "box": spaces.Box(numpy.array([[-2.0, 0.0]]), numpy.array([[2.0, 10.0]]), dtype=numpy.float64),
    "nested": spaces.Tuple([
        spaces.Discrete(3, start=-1),
        spaces.Dict({"bits": spaces.MultiBinary([2, 1]), "many": spaces.MultiDiscrete([2, 4], start=[0, 5])}),
    ]),
    "whole": spaces.Box(-4, 4, (2,), dtype=numpy.int16),
})


class Echo(gymnasium.Env):
    """Observes what was done."""

    observation_space = action_space = EVERYTHING

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.action_space.seed(seed)
        return self.action_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.last = action  # and keeps it, as some do
        return action, 0.5, False, False, {}


class Narrow(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return observation[:3]


class Lists(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return observation.tolist()


class Infinite(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return numpy.array([0.0, numpy.inf, 0.0, 0.0])


class Unbounded(gymnasium.ActionWrapper):
    def __init__(self, env):
        super().__init__(env)
        self.action_space = spaces.Box(-numpy.inf, numpy.inf, (1,))

    def action(self, action):
        return int(action[0] > 0.0)


class Global(gymnasium.ObservationWrapper):
    """Takes chance from where a pickle does not have it."""

    def observation(self, observation):
        return observation + numpy.float32(numpy.random.uniform(-0.1, 0.1))


gymnasium.register("Odd/Echo-v0", Echo)
