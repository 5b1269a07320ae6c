/*
 * A file system that does nothing, on libfuse3's low-level interface: a fixed tree, constant answers, and the same
 * words to the kernel's caches as ours (times to live, flags of init and open, default_permissions). nothing.rs is
 * the same on fuser.
 *
 *     nothing DIRECTORY
 */
#define FUSE_USE_VERSION 35

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fuse3/fuse_lowlevel.h>

#define TTL (24 * 3600.0)
#define ATTRIBUTE 8
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Like ours these numbers never come again. */
static fuse_ino_t next_made = 256;

struct entry {
    fuse_ino_t parent;
    const char *name;
    fuse_ino_t ino;
};

static const struct entry tree[] = {
    {1, "cluster", 2},
    {2, "c", 3},
    {3, "heartbeat", 6},
    {3, "node", 4},
    {3, "fence_method", 9},
    {3, "reconnect_delay_ms", 10},
    {3, "keepalive_delay_ms", 11},
    {3, "idle_timeout_ms", ATTRIBUTE},
    {4, "n1", 5},
    {6, "R", 7},
};

static struct stat attr(fuse_ino_t ino, mode_t mode)
{
    struct stat stat = {0};

    stat.st_ino = ino;
    stat.st_mode = mode;
    stat.st_nlink = S_ISDIR(mode) ? 2 : 1;
    stat.st_size = S_ISREG(mode) ? 4096 : 0;
    stat.st_uid = geteuid();
    stat.st_gid = getegid();
    stat.st_blksize = 4096;
    return stat;
}

static mode_t mode(fuse_ino_t ino)
{
    return ino >= ATTRIBUTE && ino <= 11 ? S_IFREG | 0644 : S_IFDIR | 0755;
}

static void reply_entry(fuse_req_t req, fuse_ino_t ino, mode_t mode)
{
    struct fuse_entry_param entry = {0};

    entry.ino = ino;
    entry.attr = attr(ino, mode);
    entry.attr_timeout = TTL;
    entry.entry_timeout = TTL;
    fuse_reply_entry(req, &entry);
}

static void do_init(void *data, struct fuse_conn_info *conn)
{
    (void)data;
    conn->want = conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    conn->max_write = 64 * 1024;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    for (size_t i = 0; i < COUNT(tree); i++) {
        if (tree[i].parent == parent && strcmp(tree[i].name, name) == 0) {
            reply_entry(req, tree[i].ino, mode(tree[i].ino));
            return;
        }
    }
    fuse_reply_err(req, ENOENT);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat stat = attr(ino, mode(ino));

    (void)fi;
    fuse_reply_attr(req, &stat, TTL);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t wanted)
{
    (void)parent, (void)name, (void)wanted;
    reply_entry(req, next_made++, S_IFDIR | 0755);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target, (void)parent, (void)name;
    reply_entry(req, next_made++, S_IFLNK | 0777);
}

static void do_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(req, 0);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->fh = 1;
    fi->direct_io = 1;
    fuse_reply_open(req, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    static const char text[] = "30000\n";
    size_t length = sizeof(text) - 1;

    (void)ino, (void)fi;
    fuse_reply_buf(req, text, offset > 0 ? 0 : size < length ? size : length);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    (void)ino, (void)data, (void)offset, (void)fi;
    fuse_reply_write(req, size);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, ENOSYS);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->fh = 1;
    fuse_reply_open(req, fi);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    char *buffer = malloc(size);
    size_t used = 0;
    off_t place = 0;

    (void)fi;
    if (buffer == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    for (size_t i = 0; i < COUNT(tree) + 2; i++) {
        const char *name = i == 0 ? "." : i == 1 ? ".." : tree[i - 2].name;
        fuse_ino_t entry = i < 2 ? ino : tree[i - 2].ino;
        struct stat stat = {.st_ino = entry, .st_mode = mode(entry)};
        size_t length;

        if (i >= 2 && tree[i - 2].parent != ino)
            continue;
        place++;
        if (place <= offset)
            continue;
        length = fuse_add_direntry(req, buffer + used, size - used, name, &stat, place);
        if (length > size - used)
            break;
        used += length;
    }
    fuse_reply_buf(req, buffer, used);
    free(buffer);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    (void)ino, (void)name, (void)size;
    fuse_reply_err(req, EOPNOTSUPP);
}

static const struct fuse_lowlevel_ops operations = {
    .init = do_init,
    .lookup = do_lookup,
    .getattr = do_getattr,
    .mkdir = do_mkdir,
    .symlink = do_symlink,
    .unlink = do_remove,
    .rmdir = do_remove,
    .open = do_open,
    .read = do_read,
    .write = do_write,
    .flush = do_flush,
    .release = do_release,
    .opendir = do_opendir,
    .readdir = do_readdir,
    .releasedir = do_release,
    .getxattr = do_getxattr,
};

int main(int argc, char **argv)
{
    char *options[] = {argv[0], "-o", "fsname=nothing,default_permissions"};
    struct fuse_args args = FUSE_ARGS_INIT(3, options);
    struct fuse_session *session;
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
    if (session == NULL)
        return 1;
    if (fuse_set_signal_handlers(session) != 0 || fuse_session_mount(session, argv[1]) != 0)
        return 1;
    failed = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return failed < 0;
}
