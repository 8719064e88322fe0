#include "dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "isa/list.h"

static const char *const names[] = {NULL, "scalar", "sse41", "avx2", "avx512", "neon", "wasm"};
enum { NAMES = sizeof names / sizeof names[0] };

/* By CPOOL_ISA_*, NULL where it is not built for this architecture; of those that are, the best one is last. */
static const cp_kernels *const built[NAMES] = {
#define CP_ROW(constant, name) [CPOOL_ISA_##constant] = &cp_kernels_##name,
    CP_ISA_LIST(CP_ROW)
#undef CP_ROW
};

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
    return isa > 0 && isa < NAMES && built[isa] != NULL && cp_cpu_has(isa) ? built[isa] : NULL;
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
    for (int32_t isa = 1; isa < NAMES; isa++) {
        if (cpool_isa_available(isa)) {
            const char *comma = used == 0 ? "" : ", ";
            used += snprintf(list.text + used, sizeof list.text - (size_t)used, "%s%s", comma, names[isa]);
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
            for (int32_t i = 1; i < NAMES; i++) {
                best = cpool_isa_available(i) ? i : best;
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
