/* A call in C: the same steps as workers/penstock_workers/lean/guest.py, against the library in wasmtime-py.
 *
 * What Python costs on top is the difference to this. Engine, linker, component and indexes are made in
 * Python and handed over, so that both sides use the very same ones. The wheel has no headers: what is needed
 * is declared here, for the version that Penstock pins.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { STRING = 12 };
enum { STORE, INSTANTIATE, INIT, CALL, DELETE, PHASES };

typedef struct { size_t size; char *data; } text_t;
typedef struct value {
  uint8_t kind;
  union {
    bool flag;
    text_t text;
    struct { size_t size; struct field *fields; } record;
    struct { bool is_ok; struct value *value; } result;
    uint64_t room[3];
  } of;
} value_t;
typedef struct field { text_t name; value_t value; } field_t;
typedef struct { uint64_t private[4]; } handle_t;

extern void *wasmtime_store_new(void *engine, void *data, void (*finalizer)(void *));
extern void *wasmtime_store_context(void *store);
extern void wasmtime_store_limiter(void *store, int64_t memory, int64_t elements, int64_t instances,
                                   int64_t tables, int64_t memories);
extern void wasmtime_store_delete(void *store);
extern void *wasmtime_context_set_fuel(void *context, uint64_t fuel);
extern void *wasmtime_context_get_fuel(void *context, uint64_t *fuel);
extern void wasmtime_context_set_epoch_deadline(void *context, uint64_t steps);
extern void *wasmtime_component_linker_instantiate(void *linker, void *context, void *component, handle_t *instance);
extern bool wasmtime_component_instance_get_func(handle_t *instance, void *context, void *index, handle_t *function);
extern void *wasmtime_component_func_call(handle_t *function, void *context, value_t *args, size_t n_args,
                                          value_t *results, size_t n_results);
extern void wasmtime_component_val_delete(value_t *value);

typedef struct {
  void *engine, *linker, *component, *init, *call_tool;
  int64_t limits[5];
  int64_t fuel; /* less than 0: not metered */
  char *tool, *params;
  size_t tool_size, params_size;
  char *answer; /* takes a copy of the last answer */
  size_t answer_room;
} call_t;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static bool invoke(void *context, handle_t *instance, void *index, value_t *args, size_t n, value_t *result) {
  handle_t function;
  memset(result, 0, sizeof *result);
  return wasmtime_component_instance_get_func(instance, context, index, &function) &&
         !wasmtime_component_func_call(&function, context, args, n, result, 1);
}

/* Returns the size of the answer, or -1. With `phases`, adds the microseconds of each. */
static int64_t once(const call_t *call, double *phases) {
  double at[PHASES + 1] = {0};
  value_t result;
  handle_t instance;
  int64_t size = -1;

  if (phases) at[STORE] = now_us();
  void *store = wasmtime_store_new(call->engine, NULL, NULL);
  void *context = wasmtime_store_context(store);
  wasmtime_store_limiter(store, call->limits[0], call->limits[1], call->limits[2], call->limits[3], call->limits[4]);
  if (call->fuel >= 0) wasmtime_context_set_fuel(context, (uint64_t)call->fuel);
  wasmtime_context_set_epoch_deadline(context, 1);
  if (phases) at[INSTANTIATE] = now_us();
  if (wasmtime_component_linker_instantiate(call->linker, context, call->component, &instance)) goto end;
  if (phases) at[INIT] = now_us();
  if (!invoke(context, &instance, call->init, NULL, 0, &result)) goto end;
  bool is_ok = result.of.result.is_ok;
  wasmtime_component_val_delete(&result);
  if (!is_ok) goto end;
  if (phases) at[CALL] = now_us();
  value_t args[2];
  memset(args, 0, sizeof args);
  args[0].kind = args[1].kind = STRING;
  args[0].of.text = (text_t){call->tool_size, call->tool};
  args[1].of.text = (text_t){call->params_size, call->params};
  if (!invoke(context, &instance, call->call_tool, args, 2, &result)) goto end;
  text_t content = result.of.record.fields[0].value.of.text;
  if (!result.of.record.fields[1].value.of.flag) {
    size = (int64_t)content.size;
    if (content.size <= call->answer_room) memcpy(call->answer, content.data, content.size);
  }
  wasmtime_component_val_delete(&result);
  uint64_t left;
  if (call->fuel >= 0) wasmtime_context_get_fuel(context, &left);
end:
  if (phases) at[DELETE] = now_us();
  wasmtime_store_delete(store);
  if (phases) {
    at[PHASES] = now_us();
    for (int k = 0; k < PHASES; k++) phases[k] += at[k + 1] - at[k];
  }
  return size;
}

int64_t calls(const call_t *call, int64_t n, double *phases) {
  int64_t size = -1;
  while (n-- > 0) {
    size = once(call, phases);
    if (size < 0) break;
  }
  return size;
}
