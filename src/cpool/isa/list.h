/* The instruction sets that are built for this architecture, a row each, worst first: CPOOL_ISA_<first>, cp_kernels_<second>.
 * Selection and tests find them through this list. */
#ifndef CP_ISA_LIST_H
#define CP_ISA_LIST_H

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64)
#  define CP_ISA_LIST(ROW) ROW(SCALAR, scalar) ROW(SSE41, sse41) ROW(AVX2, avx2) ROW(AVX512, avx512)
#elif defined(__aarch64__) || defined(_M_ARM64)
#  define CP_ISA_LIST(ROW) ROW(SCALAR, scalar) ROW(NEON, neon)
#elif defined(__wasm_simd128__)
#  define CP_ISA_LIST(ROW) ROW(SCALAR, scalar) ROW(WASM, wasm)
#else
#  define CP_ISA_LIST(ROW) ROW(SCALAR, scalar)
#endif

#endif
