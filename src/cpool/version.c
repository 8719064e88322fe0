#include "cpool/cpool.h"

const char *cpool_version(void)
{
    return CPOOL_VERSION;
}

int32_t cpool_abi_version(void)
{
    return CPOOL_ABI_VERSION;
}
