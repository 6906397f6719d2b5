"""The agent of the reference configuration in plain PyTorch: what `cargo xtask bench --peer PYTHON` measures beside ours.

It computes what the reference configuration computes, with the operations that one would write in PyTorch: the state of `MGU`
cells over `LDL` layers along three gradient paths, the loss of `maximize`, a synthetic gradient, Adam. Its numbers at the start are
random.

    python pytorch_agent.py STATE OBSERVATION STREAMS THREADS [compile]

Each line that it reads is a number of steps to be made; it answers with the milliseconds of each, a JSON list on one line.
"""
import json
import math
import sys
import time
import warnings

import torch

warnings.filterwarnings("ignore")
RADIX = 16
OUT_MULT = 1.2  # how far a state can go from zero
OBSERVATION_IMPORTANCE = 0.05


def dims(features, count):
    """The sizes of the dims that so many features are laid out in."""
    found, size = [], 1
    for _ in range(count):
        found.insert(0, RADIX if size * RADIX < features else -(-features // size))
        size *= found[0]
    return found


class LDL(torch.nn.Module):
    """A linearithmic dense layer whose weights are shared along one dim."""

    def __init__(self, ins, outs):
        super().__init__()
        self.count = max(1, math.ceil(math.log(max(ins, outs), RADIX) - 1e-8))
        self.ins, self.outs = dims(ins, self.count), dims(outs, self.count)
        self.features = outs
        # Where each dim stands: the batch has the place of the last but one, which weights are shared along.
        self.axes = list(range(1, self.count + 1))
        if self.count > 1:
            self.axes[-2] = 0
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        sizes = list(self.ins)
        for dim in range(self.count):
            shape = [1] + sizes
            shape[0], shape[-2] = shape[-2], shape[0]
            axis = self.axes[dim]
            shape[axis], shape[-1] = shape[-1], shape[axis]
            between = shape[1:-2]
            self.weights.append(torch.randn(*between, self.ins[dim], self.outs[dim]) * self.ins[dim] ** -0.5)
            self.biases.append(torch.randn(*between, 1, self.outs[dim]) * 0.1)
            sizes[dim] = self.outs[dim]

    def forward(self, x):
        batch = x.shape[0]
        x = torch.nn.functional.pad(x, (0, math.prod(self.ins) - x.shape[-1]))
        x = x.reshape(batch, *self.ins).transpose(0, -2)
        for dim, axis in enumerate(self.axes):
            y = torch.nn.functional.softsign(x) if dim > 0 else x
            y = (y.transpose(axis, -1) @ self.weights[dim] + self.biases[dim]).transpose(axis, -1)
            x = y + x if self.ins[dim] == self.outs[dim] else y
        return x.transpose(0, -2).reshape(batch, -1)[:, : self.features]


class Stack(torch.nn.Module):
    """Layers in a row, each with a trained factor behind it and a skip connection around it."""

    def __init__(self, ins, outs, layers):
        super().__init__()
        sizes = [(ins, ins)] * (layers - 1) + [(ins, outs)]
        self.layers = torch.nn.ModuleList(LDL(*size) for size in sizes)
        self.factors = torch.nn.ParameterList(torch.tensor(0.5) for _ in sizes)
        self.last_skips = ins == outs

    def forward(self, x):
        for i, (layer, factor) in enumerate(zip(self.layers, self.factors)):
            y = layer(torch.nn.functional.softsign(x) if i > 0 else x) * factor
            x = y + x if i + 1 < len(self.layers) or self.last_skips else y
        return x.clamp(-1000, 1000)


class MGU(torch.nn.Module):
    """A minimal gated unit over stacks."""

    def __init__(self, ins, outs):
        super().__init__()
        self.input, self.z, self.h = Stack(ins, outs, 1), Stack(outs, outs, 1), Stack(outs, outs, 1)
        self.outs = outs

    def forward(self, x):
        y = self.input(x)
        f = torch.sigmoid(self.z(y))
        return (1 - f) * x[..., : self.outs] + f * OUT_MULT * torch.tanh(self.h(f * y))


def transition(cell, parameters, outs):
    """The next state along the gradient paths of `maximize`: what predicts and what acts are apart, and goals train no weights."""
    half = outs // 2

    def with_gradient_to(x, odd):
        chunks = x.split(half, -1)
        return torch.cat([chunk if i % 2 == odd else chunk.detach() for i, chunk in enumerate(chunks)], -1)

    def run(x):
        y = torch.cat((cell(with_gradient_to(x, 0))[..., :half], cell(with_gradient_to(x, 1))[..., half:]), -1)
        for parameter in parameters:
            parameter.requires_grad_(False)
        goals = cell(with_gradient_to(x, 1))[..., 0:2]
        for parameter in parameters:
            parameter.requires_grad_(True)
        return torch.cat((y[..., :2], goals, y[..., 4:]), -1)

    return run


class Agent:
    def __init__(self, size, observed, streams, compiled):
        cell, self.synthetic = MGU(2 * size, size), Stack(size, size, 2)
        own = list(cell.parameters())
        groups = [{"params": own}, {"params": list(self.synthetic.parameters()), "lr": 0.03}]
        self.optimizer = torch.optim.Adam(groups, lr=1e-3)
        if compiled:
            cell = torch.compile(cell, dynamic=False)
            self.synthetic = torch.compile(self.synthetic, dynamic=False)
        self.transition = transition(cell, own, size)
        self.state = torch.zeros(streams, size).requires_grad_(True)
        self.observed = observed
        observation = torch.rand(streams, observed) * 2 - 1
        self.observation = torch.nn.functional.pad(observation, (0, size - observed), value=math.nan)

    def loss(self, state, merged):
        target = merged.detach()
        predicted = torch.cat((state[..., :4].detach(), state[..., 4:]), -1)
        error = 0.5 * (predicted - target).square().sum(-1)
        relative = 11 * error / self.observed - 1
        misprediction = torch.minimum(relative, 0.1 * relative)
        reserved = (state[..., 0] - target[..., 0]).square() + (state[..., 1] - misprediction).square()
        return OBSERVATION_IMPORTANCE * error.sum() + reserved.sum() - (state[..., 2] + state[..., 3]).sum()

    def step(self):
        state = self.state
        merged = torch.where(self.observation.isnan(), state, self.observation).clamp(-1, 1)
        loss = self.loss(state, merged)
        after = self.transition(torch.cat((state, merged), -1))
        with torch.no_grad():
            future = after - self.synthetic(after)
        (loss + (after * future).sum()).backward()
        first = state.detach()
        (0.5 * (self.synthetic(first) - (first - state.grad)).square().sum()).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state = after.detach().requires_grad_(True)


def main():
    size, observed, streams, threads = map(int, sys.argv[1:5])
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    agent = Agent(size, observed, streams, sys.argv[5:] == ["compile"])
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            agent.step()
            times.append(1e3 * (time.perf_counter() - begin))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
