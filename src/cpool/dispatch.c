#include "dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "isa/list.h"

typedef struct cp_isa {
    int32_t isa;
    const cp_kernels *kernels;
} cp_isa;

static const cp_isa built[] = {
#define CP_ROW(constant, name) {CPOOL_ISA_##constant, &cp_kernels_##name},
    CP_ISA_LIST(CP_ROW)
#undef CP_ROW
};
enum { BUILT = sizeof built / sizeof built[0] };

static const char *const names[] = {NULL, "scalar", "sse41", "avx2", "avx512", "neon", "wasm"};
enum { NAMES = sizeof names / sizeof names[0] };

const char *cpool_isa_name(int32_t isa)
{
    return isa > 0 && isa < NAMES ? names[isa] : NULL;
}

/* The CPOOL_ISA_* of a name, or 0. */
static int32_t isa_number(const char *name)
{
    for (int32_t isa = 1; isa < NAMES; isa++) {
        if (strcmp(name, names[isa]) == 0) {
            return isa;
        }
    }
    return 0;
}

static const cp_kernels *find_kernels(int32_t isa)
{
    for (int i = 0; i < BUILT; i++) {
        if (built[i].isa == isa && cp_cpu_has(isa)) {
            return built[i].kernels;
        }
    }
    return NULL;
}

int cpool_isa_available(int32_t isa)
{
    return find_kernels(isa) != NULL;
}

/* "scalar, sse41" */
static cp_text available_names(void)
{
    cp_text list;
    int used = 0;
    list.text[0] = '\0';
    for (int i = 0; i < BUILT; i++) {
        if (cp_cpu_has(built[i].isa)) {
            const char *comma = i == 0 ? "" : ", ";
            used += snprintf(list.text + used, sizeof list.text - (size_t)used, "%s%s", comma, names[built[i].isa]);
        }
    }
    return list;
}

cpool_status cpool_isa_best(int32_t *isa, cpool_error *error)
{
    static int32_t cache;
    if (isa == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "isa is NULL");
    }
    int32_t best = CP_CACHE_READ(cache);
    if (best == 0) {
        const char *wanted = getenv("CPOOL_ISA");
        if (wanted != NULL && wanted[0] != '\0') {
            best = isa_number(wanted);
            if (!cpool_isa_available(best)) {
                return cp_fail(error, CPOOL_INVALID_VALUE, 0, "CPOOL_ISA='%.40s' in the environment is %s; this CPU has: %s",
                               wanted, best == 0 ? "unknown" : "not available", available_names().text);
            }
        } else {
            for (int i = 0; i < BUILT; i++) {
                best = cp_cpu_has(built[i].isa) ? built[i].isa : best;
            }
        }
        CP_CACHE_WRITE(cache, best);
    }
    *isa = best;
    return CPOOL_OK;
}

cpool_status cp_dispatch(int32_t isa, const cp_kernels **out, cpool_error *error)
{
    if (isa == CPOOL_ISA_BEST) {
        cpool_status status = cpool_isa_best(&isa, error);
        if (status != CPOOL_OK) {
            return status;
        }
    }
    *out = find_kernels(isa);
    if (*out != NULL) {
        return CPOOL_OK;
    }
    const char *name = cpool_isa_name(isa);
    if (name == NULL) {
        return cp_fail(error, CPOOL_INVALID_VALUE, 0, "isa=%d is unknown; this CPU has: %s", (int)isa, available_names().text);
    }
    return cp_fail(error, CPOOL_INVALID_VALUE, 0, "isa='%s' is not available; this CPU has: %s", name, available_names().text);
}
