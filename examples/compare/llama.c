// llama.cpp's side of the comparison: one model, all of it on the device, flash attention off.
//
//     llama MODEL first TEXT                 a line when the first token after TEXT is known
//     llama MODEL speed PROMPT TOKENS RUNS   tokens a second, RUNS times after one that does not count
//
// `first` prints how many tokens TEXT has; the clock is compare.py's and runs from the start of the process.
// `speed` prints a line `prompt` and a line `decode` for each run; PROMPT 0 leaves the first out. It does
// what llama-bench does: tokens without rhyme or reason, the same as `tiefsee bench` takes, each
// waited for, nothing sampled.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-backend.h"
#include "llama.h"

enum { MOST_TOKENS = 4096, WARM_UP = 8 };

static struct llama_model *model;
static struct llama_context *context;
static llama_token tokens[MOST_TOKENS];

static void fail(const char *what) {
    fprintf(stderr, "llama: %s\n", what);
    exit(1);
}

static int number(const char *text) {
    const int number = atoi(text);
    if (number < 0 || number > MOST_TOKENS)
        fail("a number is out of range");
    return number;
}

static void errors_only(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static void load(const char *path) {
    llama_log_set(errors_only, NULL);
    ggml_backend_load_all();
    struct llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 999;
    model = llama_model_load_from_file(path, params);
    if (!model)
        fail("the model cannot be loaded");
}

static void open_context(int length) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)length;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    context = llama_init_from_model(model, params);
    if (!context)
        fail("there is no room for the context");
}

// Runs the next tokens of the sequence and waits for them.
static void run(llama_token *next, int count) {
    if (llama_decode(context, llama_batch_get_one(next, count)))
        fail("the model fails");
    llama_synchronize(context);
}

static void first(const char *text) {
    const struct llama_vocab *vocabulary = llama_model_get_vocab(model);
    const int count = llama_tokenize(vocabulary, text, (int)strlen(text), tokens, MOST_TOKENS, false, false);
    if (count <= 0)
        fail("the text cannot be read");
    open_context(count + 1);
    struct llama_sampler *sampler = llama_sampler_init_greedy();
    run(tokens, count);
    llama_sampler_sample(sampler, context, -1);
    printf("%d\n", count);
    fflush(stdout);
}

static void report(const char *what, int count, int64_t start) {
    printf("%s %.4f\n", what, count * 1e6 / (double)(ggml_time_us() - start));
    fflush(stdout);
}

static void speed(int prompt, int decoded, int runs) {
    const int vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
    for (int position = 0; position < MOST_TOKENS; position++)
        tokens[position] = (llama_token)(((int64_t)position * 7919 + 13) % vocabulary);
    open_context(prompt > decoded + WARM_UP ? prompt : decoded + WARM_UP);
    for (int turn = 0; turn <= runs; turn++) {
        if (prompt > 0) {
            llama_memory_clear(llama_get_memory(context), false);
            const int64_t start = ggml_time_us();
            run(tokens, prompt);
            if (turn > 0)
                report("prompt", prompt, start);
        }
        llama_memory_clear(llama_get_memory(context), false);
        int64_t start = ggml_time_us();
        for (int position = 0; position < (turn > 0 ? decoded : WARM_UP); position++)
            run(&tokens[position], 1);
        if (turn > 0)
            report("decode", decoded, start);
    }
}

int main(int count, char **arguments) {
    const int is_first = count == 4 && !strcmp(arguments[2], "first");
    const int is_speed = count == 6 && !strcmp(arguments[2], "speed");
    if (!is_first && !is_speed)
        fail("usage: llama MODEL first TEXT, or llama MODEL speed PROMPT TOKENS RUNS");
    load(arguments[1]);
    if (is_first)
        first(arguments[3]);
    else
        speed(number(arguments[3]), number(arguments[4]), number(arguments[5]));
    // What is allocated goes with the process: giving it back is not part of what is measured.
    return 0;
}
