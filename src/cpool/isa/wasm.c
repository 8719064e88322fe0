/* The kernels for WebAssembly with 128-bit SIMD. */
#include "kernels/table.h"
#include "kernels/taps.h"
#include "kernels/template.h"

#include "isa/region.h"

#if defined(__wasm_simd128__)
#  include <wasm_simd128.h>
#  define CP_ISA_NAME wasm
CP_REGION_BEGIN_BASE
#  include "isa/vec_wasm.h"
#  include "kernels/kernels.h"
CP_REGION_END_BASE
#else
typedef int cp_empty_wasm;
#endif
