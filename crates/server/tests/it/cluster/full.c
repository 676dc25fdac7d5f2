/* A disk that is full while a file is there: what would make a regular file longer fails with ENOSPC. Loaded before
 * the C library into the processes of a test's Postgres, which writes by these calls; what is written in place, read
 * or deleted goes on, as on a real one. FULL_WHILE names the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int grows(int fd, off_t end) {
    const char *flag = getenv("FULL_WHILE");
    struct stat is;
    return flag && access(flag, F_OK) == 0 && fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && end > is.st_size;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE do { errno = ENOSPC; return -1; } while (0)

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    if (grows(fd, at + (off_t)size)) REFUSE;
    return REAL(pwrite)(fd, from, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    if (grows(fd, at + (off_t)size)) REFUSE;
    return REAL(pwrite64)(fd, from, size, at);
}

static off_t sum(const struct iovec *parts, int count) {
    off_t size = 0;
    for (int i = 0; i < count; i++) size += (off_t)parts[i].iov_len;
    return size;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (grows(fd, at + sum(parts, count))) REFUSE;
    return REAL(pwritev)(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    if (grows(fd, at + sum(parts, count))) REFUSE;
    return REAL(pwritev64)(fd, parts, count, at);
}

ssize_t write(int fd, const void *from, size_t size) {
    off_t at = lseek(fd, 0, SEEK_CUR);
    /* The server's log is elsewhere than its data: what it says must not be lost. */
    if (fd > STDERR_FILENO && at >= 0 && grows(fd, at + (off_t)size)) REFUSE;
    return REAL(write)(fd, from, size);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    return grows(fd, at + size) ? ENOSPC : REAL(posix_fallocate)(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    return grows(fd, at + size) ? ENOSPC : REAL(posix_fallocate64)(fd, at, size);
}
