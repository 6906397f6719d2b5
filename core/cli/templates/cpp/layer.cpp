// A layer plugin in C++: two thin matrices in a row, y = x · down · up.
//
// The rules of the boundary (who owns what, threads, grad mode, errors) are the first page of efference.h.
#include "efference.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <torch/headeronly/version.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <random>
#include <string>

namespace {

constexpr char DESCRIPTION[] = "Two thin matrices in a row, in C++.";
// The options, as JSON Schema: the host checks a spec against it, and shows it.
constexpr char SCHEMA[] = R"({
    "type": "object",
    "additionalProperties": false,
    "properties": {
        "rank": {"type": "integer", "minimum": 1, "maximum": 65536, "default": 64, "description": "Features between the two matrices."}
    }
})";

// What crosses as `ef_Tensor *` is an `at::Tensor *`.
const at::Tensor &borrowed(const ef_Tensor *tensor) { return *reinterpret_cast<const at::Tensor *>(tensor); }
ef_Tensor *given(at::Tensor tensor) { return reinterpret_cast<ef_Tensor *>(new at::Tensor(std::move(tensor))); }

ef_Str text(const char *words) { return {reinterpret_cast<const uint8_t *>(words), std::strlen(words)}; }

// Runs `f`; an exception, which must not cross, becomes an error with its words.
template <typename F> ef_Status checked(ef_Error *err, F f) {
    try {
        return f();
    } catch (const std::exception &exception) {
        struct Owner {
            std::string words;
            ef_ErrorFrame frame;
        };
        auto *owner = new Owner{exception.what(), {}};
        owner->frame = {0, text(""), text(owner->words.c_str())};
        *err = {{&owner->frame, 1, owner, [](void *it) { delete static_cast<Owner *>(it); }}, text("")};
        return ef_ERROR;
    }
}

struct Layer {
    at::Tensor down, up;
};

// Of x (batch, ins): the outputs `outs`, (batch, outs.end - outs.start). Autograd sees through it.
ef_Status forward(void *self, const ef_Tensor *x, ef_Range outs, ef_Tensor **out, ef_Error *err) {
    return checked(err, [&] {
        const auto &layer = *static_cast<Layer *>(self);
        auto up = layer.up.narrow(1, outs.start, outs.end - outs.start);
        *out = given(at::matmul(at::matmul(borrowed(x), layer.down), up));
        return ef_OK;
    });
}

ef_Status multiply_accumulates(void *self, uint64_t *out, ef_Error *) {
    const auto &layer = *static_cast<Layer *>(self);
    *out = static_cast<uint64_t>(layer.down.numel() + layer.up.numel());
    return ef_OK;
}

void destroy(void *self) { delete static_cast<Layer *>(self); }

// What a layer leaves out is null, or lies beyond the size that it says.
const ef_LayerVTable LAYER = {
    offsetof(ef_LayerVTable, weights), destroy, forward, nullptr, multiply_accumulates, nullptr, nullptr, nullptr, nullptr, nullptr,
};

// The host has checked the options, and filled in what was not said.
int64_t rank_of(ef_Str options) {
    std::string json(reinterpret_cast<const char *>(options.ptr), options.len);
    auto at = json.find("\"rank\":");
    return at == std::string::npos ? 64 : std::strtoll(json.c_str() + at + std::strlen("\"rank\":"), nullptr, 10);
}

// Random numbers from the host's seed, so that a run can be repeated. What has deviation 1 goes on with deviation 1.
at::Tensor normal(int64_t ins, int64_t outs, uint64_t seed) {
    auto made = at::empty({ins, outs}, at::kFloat);
    std::mt19937_64 bits(seed);
    std::normal_distribution<float> numbers(0.0f, 1.0f / std::sqrt(static_cast<float>(ins)));
    auto *elements = made.data_ptr<float>();
    for (int64_t i = 0; i < ins * outs; i++) elements[i] = numbers(bits);
    return made;
}

ef_Status create(ef_Str options, const void *setup, ef_Object_c_void *out, ef_Error *err) {
    return checked(err, [&]() -> ef_Status {
        const auto &layer = *static_cast<const ef_LayerSetup *>(setup);
        const auto &store = layer.params;
        auto [ins, outs] = layer.features;
        auto rank = rank_of(options);
        at::Tensor made[2];
        const char *names[] = {"down", "up"};
        int64_t sizes[] = {ins, rank, outs};
        for (int i = 0; i < 2; i++) {
            uint64_t seed = 0;
            auto status = store.vtable->seed(store.this_, text(names[i]), &seed, err);
            if (status != ef_OK) return status;
            ef_Tensor *shared = nullptr;
            auto *first = given(normal(sizes[i], sizes[i + 1], seed));
            status = store.vtable->add(store.this_, text(names[i]), first, true, &shared, err);
            if (status != ef_OK) return status;
            made[i] = borrowed(shared);
            delete &borrowed(shared);
        }
        *out = {new Layer{made[0], made[1]}, &LAYER};
        return ef_OK;
    });
}

ef_Status options_schema(ef_List_u8 *out, ef_Error *) {
    // Nothing is to be freed, and nobody changes it.
    auto *schema = reinterpret_cast<uint8_t *>(const_cast<char *>(SCHEMA));
    *out = {schema, sizeof(SCHEMA) - 1, nullptr, nullptr};
    return ef_OK;
}

ef_Status check_options(ef_Str, void *, ef_Error *) { return ef_OK; }
ef_Status init(const ef_HostApi *, void *, ef_Error *) { return ef_OK; }

const ef_Entry ENTRIES[] = {{
    sizeof(ef_Entry),
    ef_Kind_Layer,
    text("my-plugin"),
    text("0.1.0"),
    text(DESCRIPTION),
    options_schema,
    check_options,
    create,
    nullptr,
}};

} // namespace

// The host reads the manifest from the file before it runs anything of it: kind/name, version and description, with tabs
// between them, are said there too.
extern "C" __attribute__((visibility("default"))) constinit const ef_Library efference_plugin = {
    {
        ef_MAGIC,
        ef_ABI_VERSION,
        sizeof(ef_Manifest),
        {"0.1.0"},
        {TORCH_VERSION},
        {"x86_64-unknown-linux-gnu"},
        {""},
        {"layer/my-plugin\t0.1.0\tTwo thin matrices in a row, in C++.\n"},
    },
    ENTRIES,
    1,
    init,
};
