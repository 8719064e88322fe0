#include "operators.h"

#include <stddef.h>

#include "cpool/cpool.h"
#include "kernels/table.h"

#define R(role) (UINT64_C(1) << CPOOL_##role)
#define G(role) (UINT64_C(1) << (32 + CPOOL_##role))
#define OPERATOR(code, name, family, fold, tap_fold, flags, forward, forward_optional, backward, backward_optional, kept) \
    {code, name, family, fold, tap_fold, flags, {forward, backward}, {forward_optional, backward_optional}, kept},
static const cp_operator operators[] = {
#include "ops.def"
};
#undef OPERATOR
#undef G
#undef R

const cp_operator *cp_operator_find(int32_t code)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (operators[i].code == code) {
            return &operators[i];
        }
    }
    return NULL;
}
