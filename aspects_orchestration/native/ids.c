/* Ids of statements: the twin is in xapi/statement_id.py. */

#include "native.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define WITH_SHA_INSTRUCTIONS 1
#endif

/* SHA-1 (FIPS 180-4), for the ids of statements, which RFC 4122 makes with it; not for anything secret. */
static inline uint32_t rotated(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static void sha1_block(uint32_t state[5], const unsigned char *block)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8
            | block[4 * i + 3];
    }
    for (int i = 16; i < 80; i++) {
        w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        const uint32_t next = rotated(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

#ifdef WITH_SHA_INSTRUCTIONS
/* The same with the processor's own instructions, which do four of the eighty rounds at once. */
__attribute__((target("sha,sse4.1"))) static void sha1_block_at_once(uint32_t state[5], const unsigned char *block)
{
    const __m128i bytes_turned = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    __m128i words[20];
    for (int i = 0; i < 4; i++) {
        words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), bytes_turned);
    }
    for (int i = 4; i < 20; i++) {
        const __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(words[i - 4], words[i - 3]), words[i - 2]);
        words[i] = _mm_sha1msg2_epu32(mixed, words[i - 1]);
    }
    const __m128i first = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1b);
    const __m128i first_e = _mm_set_epi32((int)state[4], 0, 0, 0);
    __m128i now = _mm_sha1rnds4_epu32(first, _mm_add_epi32(first_e, words[0]), 0), before = first;
#define ROUNDS(from, to, function) \
    for (int i = (from); i < (to); i++) { \
        const __m128i e = _mm_sha1nexte_epu32(before, words[i]); \
        before = now; \
        now = _mm_sha1rnds4_epu32(now, e, (function)); \
    }
    ROUNDS(1, 5, 0)
    ROUNDS(5, 10, 1)
    ROUNDS(10, 15, 2)
    ROUNDS(15, 20, 3)
#undef ROUNDS
    state[4] = (uint32_t)_mm_extract_epi32(_mm_sha1nexte_epu32(before, first_e), 3);
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(_mm_add_epi32(now, first), 0x1b));
}
#endif

static void (*hash_block)(uint32_t state[5], const unsigned char *block) = sha1_block;

PyDoc_STRVAR(use_sha_instructions_doc,
"use_sha_instructions(wanted) -> bool\n\nHash with the processor's own instructions, if it has them; whether it does.");

int choose_sha(int wanted)
{
    hash_block = sha1_block;
#ifdef WITH_SHA_INSTRUCTIONS
    unsigned a, b = 0, c, d;
    if (wanted && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA) {
        hash_block = sha1_block_at_once;
    }
#endif
    return hash_block != sha1_block;
}

static PyObject *use_sha_instructions(PyObject *module, PyObject *wanted)
{
    return PyBool_FromLong(choose_sha(wanted == Py_True));
}


/* The SHA-1 of three stretches, one behind the other. */
static void sha1_of(const Stretch parts[3], unsigned char digest[20])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char block[64];
    const uint64_t bits = ((uint64_t)parts[0].size + (uint64_t)parts[1].size + (uint64_t)parts[2].size) * 8;
    Py_ssize_t held = 0;
    for (int part = 0; part < 3; part++) {
        Bytes at = parts[part].at;
        Py_ssize_t left = parts[part].size;
        while (left > 0) {
            const Py_ssize_t taken = left < 64 - held ? left : 64 - held;
            memcpy(block + held, at, (size_t)taken);
            held += taken;
            at += taken;
            left -= taken;
            if (held == 64) {
                hash_block(state, block);
                held = 0;
            }
        }
    }
    block[held++] = 0x80;
    if (held > 56) {
        memset(block + held, 0, (size_t)(64 - held));
        hash_block(state, block);
        held = 0;
    }
    memset(block + held, 0, (size_t)(56 - held));
    for (int i = 0; i < 8; i++) {
        block[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    hash_block(state, block);
    for (int i = 0; i < 20; i++) {
        digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* The UUID of version 5 of a name in a namespace, which is the first of three stretches: its 16 bytes, and its text. */
void uuid5(const Stretch parts[3], unsigned char identity[20], unsigned char text[36])
{
    static const char hex[] = "0123456789abcdef";
    sha1_of(parts, identity);
    identity[6] = (identity[6] & 0x0f) | 0x50;
    identity[8] = (identity[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *text++ = '-';
        }
        *text++ = (unsigned char)hex[identity[i] >> 4];
        *text++ = (unsigned char)hex[identity[i] & 15];
    }
}

PyDoc_STRVAR(statement_id_doc,
"statement_id(namespace, name) -> (identity, text)\n\n"
"The UUID of version 5 of a name in a namespace: its 16 bytes in network order, and its text.");

static PyObject *statement_id(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "statement_id takes two bytes");
        return NULL;
    }
    const Stretch parts[3] = {stretch_of(arguments[0]), stretch_of(arguments[1]), {NULL, 0}};
    unsigned char identity[20], text[36];
    uuid5(parts, identity, text);
    return Py_BuildValue("(y#y#)", (char *)identity, (Py_ssize_t)16, (char *)text, (Py_ssize_t)36);
}

PyMethodDef methods_of_ids[] = {
    {"statement_id", FAST(statement_id), statement_id_doc},
    {"use_sha_instructions", use_sha_instructions, METH_O, use_sha_instructions_doc},
    {NULL, NULL, 0, NULL},
};
