#define _XOPEN_SOURCE 700
#include "CTerminal.h"
#include <locale.h>
#include <pthread.h>
#include <wchar.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t unicode;

static void make_locale(void) { unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0); }

int ct_columns(uint32_t scalar) {
  pthread_once(&once, make_locale);
  if (!unicode) return 1;
  locale_t before = uselocale(unicode);  // of this thread alone
  int columns = wcwidth((wchar_t)scalar);
  uselocale(before);
  return columns > 0 ? columns : 0;
}
