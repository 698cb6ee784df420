# SPDX-License-Identifier: MIT
"""What a mount and its pool are to all who use them at once: a state, what each system
call does to it and answers, and whether a history of calls has an order in which all
answers are right (linearizability).

State: what each key has in the pool, and what is open. A value is a pair of its bytes
and the number of the call that stored it, which is its identity. Who has found or
opened a file is bound to that: he follows its renames, and when its key is removed or
replaced by way of the mount he goes on with a file that has no key ("gone").

A call that is not over when another one begins may come before or behind it. Only what
close(2) causes may come later than its end: for who looks at the pool itself, and for
calls about something else.
"""

import collections
import errno

LIMIT = {'restricted': 1022, 'full': 2048}
MOST_STEPS, FEW_STEPS = 200000, 5000    # of a search, before it is given up

# A system call, a part of one, or what it causes. KEYS: the names that it is about;
# None: all of the pool. Parts of one call have the same GROUP, and those with a PART
# that order.
Call = collections.namedtuple(
    'Call', 'start end inside kind keys arguments result lazy group part',
    defaults=(False, None, 0))

# A file that was found, or is open. PENDING: '' if all is stored, 'empties', or 'keeps'
# if another one has emptied the file since; REPLACED: what it had then, None: nothing.
Handle = collections.namedtuple('Handle', 'key state pending replaced appends',
                                defaults=('', None, False))


class Anything:
    """An answer that is not foretold."""

    def __eq__(self, other):
        return True

    __hash__ = object.__hash__


class World:
    """A state that can be changed, and made a key of a dictionary."""

    def __init__(self, pool=(), gone=(), handles=(), emptied=0):
        self.pool, self.gone, self.handles = dict(pool), dict(gone), dict(handles)
        self.emptied = emptied

    def copy(self):
        return World(self.pool, self.gone, self.handles, self.emptied)

    def frozen(self):
        return (frozenset(self.pool.items()), frozenset(self.gone.items()),
                frozenset(self.handles.items()), self.emptied)

    def files(self, key):
        """Where the value of KEY is, be it that of a file without one."""
        return self.gone if isinstance(key, tuple) else self.pool

    def bound(self, key):
        return [number for number, handle in self.handles.items()
                if handle.key == key and handle.state in ('found', 'open')]

    def is_created(self, key):
        """Nothing is stored of it, but it can be seen in the mount."""
        return any(self.handles[number].pending and self.handles[number].replaced is None
                   for number in self.bound(key))

    def value(self, key, inside=True):
        """None: it is absent."""
        if key in self.files(key):
            return self.files(key)[key][0]
        return b'' if inside and self.is_created(key) else None

    def is_forgotten(self, key):
        """A file without a key that others had removed before it was replaced: it has
        what anybody has seen of it last."""
        return isinstance(key, tuple) and self.gone[key][0] is None

    def keep_pending(self, key):
        for number in self.bound(key):
            if self.handles[number].pending:
                self.handles[number] = self.handles[number]._replace(pending='keeps')

    def bind(self, numbers, key):
        for number in numbers:
            self.handles[number] = self.handles[number]._replace(key=key)

    def remove(self, call, key):
        """By way of the mount: whoever has the file goes on with it, also if others have
        removed it before."""
        numbers, value = self.bound(key), self.value(key)
        if numbers:
            gone = 'gone', call.start, key
            self.gone[gone] = self.pool.get(key, (value, call.start))
            self.bind(numbers, gone)
        self.pool.pop(key, None)


class Model:
    """Each function changes the world as a call of its name does, and returns the answer;
    an errno of a call that fails. AGAIN: not so, it must come later."""

    AGAIN = 'again'

    def __init__(self, mode='restricted', strips=False):
        self.limit, self.strips = LIMIT[mode], strips

    # Files: first the name is looked up, then something is done with what it stands for

    def find(self, w, call, number, name):
        state = 'absent' if w.value(name) is None else 'found'
        w.handles[number] = Handle(name, state)
        return None

    def open(self, w, call, number, name, creates, empties, appends, exclusive):
        found = w.handles.pop(number)
        if found.state == 'found' and exclusive:
            return errno.EEXIST
        if found.state == 'absent' and not creates:
            return errno.ENOENT
        there = w.value(found.key) is not None or w.is_forgotten(found.key)
        if there and exclusive:
            return errno.EEXIST
        if not there and found.state == 'found':
            return self.AGAIN           # others have removed it: it is looked up again
        handle = Handle(found.key, 'open', appends=appends)
        if empties or not there:
            w.keep_pending(found.key)
            handle = handle._replace(pending='empties',
                                     replaced=w.files(found.key).get(found.key))
        w.handles[number] = handle
        return None

    def read(self, w, call, number):
        found = w.handles.pop(number)
        if found.state == 'absent':
            return errno.ENOENT
        if w.is_forgotten(found.key):
            return Anything()
        value = w.value(found.key)
        return self.AGAIN if value is None else value

    def size(self, w, call, number):
        value = self.read(w, call, number)
        return len(value) if isinstance(value, bytes) else value

    def truncate(self, w, call, number, size):
        found = w.handles.pop(number)
        if w.is_forgotten(found.key):
            return Anything()
        old = w.value(found.key) if found.state == 'found' else None
        if old is None:
            return errno.ENOENT
        if size > len(old):
            return errno.EINVAL
        if size < len(old) or found.key not in w.files(found.key):
            w.files(found.key)[found.key] = old[:size], call.start
        return None

    def stored(self, data):
        return data[:-1] if self.strips and data.endswith(b'\n') else data

    def write(self, w, call, number, offset, data):
        handle = w.handles[number]
        replaces = handle.pending and (handle.replaced or not handle.appends)
        old = b'' if replaces else w.value(handle.key, False) or b''
        at = len(old) if handle.appends else offset
        new = self.stored(old[:at] + data + old[at + len(data):])
        if len(new) > self.limit:
            if handle.pending:
                w.handles[number] = handle._replace(pending='keeps')
            return errno.EFBIG
        if not w.is_forgotten(handle.key):
            w.files(handle.key)[handle.key] = new, call.start
        w.handles[number] = handle._replace(pending='', replaced=None)
        return None

    def empty(self, w, call, number):
        """ftruncate(0)."""
        handle = w.handles[number]
        now = w.files(handle.key).get(handle.key)
        w.keep_pending(handle.key)
        if handle.pending:
            handle = handle._replace(pending='empties')
        elif not now or now[0]:
            handle = handle._replace(pending='empties', replaced=now)
        w.handles[number] = handle
        return None

    def commit(self, w, call, number):
        """fsync(2); what is pending is stored, but over nothing of others."""
        handle = w.handles[number]
        if handle.pending == 'empties':
            files = w.files(handle.key)
            if files.get(handle.key) == handle.replaced:
                files[handle.key] = b'', call.start
            w.handles[number] = handle._replace(pending='', replaced=None)
        return None

    def release(self, w, call, number):
        self.commit(w, call, number)
        del w.handles[number]
        return None

    # Names

    def names(self, w, call, keys):
        return frozenset(key for key in keys if w.value(key) is not None)

    def make(self, w, call, key):
        if w.value(key) is not None:
            return errno.EEXIST
        w.pool[key] = b'', call.start
        return None

    def unlink(self, w, call, key):
        if w.value(key) is None:
            return errno.ENOENT
        w.remove(call, key)
        return None

    def store_created(self, w, call, key):
        """A rename does so first, which others may see."""
        if key not in w.pool and w.is_created(key):
            w.pool[key] = b'', call.start
        return None

    def is_there(self, w, call, key):
        return w.value(key) is not None

    def are_there(self, w, call, *keys):
        return all(w.value(key) is not None for key in keys)

    def rename(self, w, call, one, two, replaces):
        if w.value(one) is None:
            return errno.ENOENT
        if not replaces and w.value(two) is not None:
            return errno.EEXIST
        self.store_created(w, call, one)
        w.remove(call, two)
        w.pool[two] = w.pool.pop(one)
        w.bind(w.bound(one), two)
        return None

    def exchange(self, w, call, one, two):
        if not self.are_there(w, call, one, two):
            return errno.ENOENT
        for key in one, two:
            self.store_created(w, call, key)
        w.pool[one], w.pool[two] = w.pool[two], w.pool[one]
        ones, twos = w.bound(one), w.bound(two)
        w.bind(ones, two)
        w.bind(twos, one)
        return None

    # The whole pool

    def dump(self, w, call):
        """The store, without what is only being created."""
        return frozenset((key, value) for key, (value, _) in w.pool.items())

    def load(self, w, call, pairs):
        w.pool = {key: (value, call.start) for key, value in pairs}
        return None

    def add(self, w, call, pairs):
        w.pool.update((key, (value, call.start)) for key, value in pairs)
        return None

    def open_load(self, w, call, number):
        """What is stored by it later is another call."""
        w.emptied += 1
        return None

    def open_all(self, w, call, number):
        """What is there now is to be removed, when it is closed."""
        w.emptied += 1
        w.handles[number] = Handle(w.emptied, 'all',
                                   replaced=frozenset(w.pool.items()))
        return None

    def release_all(self, w, call, number):
        handle = w.handles.pop(number)
        if handle.key == w.emptied:     # else another one does it
            w.pool = dict(frozenset(w.pool.items()) - handle.replaced)
        return None

    # Others, under the pool's lock

    def get(self, w, call, key):
        return w.value(key, False)

    def put(self, w, call, key, value):
        w.pool[key] = value, call.start
        return None

    def delete(self, w, call, key):
        w.pool.pop(key, None)
        return None


BY_HANDLE = {'open', 'read', 'size', 'truncate', 'write', 'empty', 'commit', 'release'}


def comes_first(one, two):
    """Whether ONE must come before TWO, whatever the state is."""
    if one.group is not None and one.group == two.group:
        return one.part < two.part
    return one.end < two.start and not one.lazy


def waits_behind(world, call, closed):
    """Whether CALL, by way of the mount, is answered after what CLOSED is about."""
    if closed.kind == 'release_all' or call.keys is None:
        return True
    if call.kind == 'names':
        return False
    keys = call.keys
    if call.kind in BY_HANDLE:
        keys = {world.handles[call.arguments[0]].key}
    return world.handles[closed.arguments[0]].key in keys


class Undecided(Exception):
    """The search takes too long."""


class Search:
    """For an order of calls that explains all answers, but for the one of IGNORED."""

    def __init__(self, model, calls, most_steps=MOST_STEPS, ignored=None):
        self.model, self.calls, self.ignored = model, calls, ignored
        self.most_steps = most_steps
        self.before = [sum(1 << n for n, one in enumerate(calls)
                           if one is not two and comes_first(one, two)) for two in calls]
        self.lazy = [n for n, call in enumerate(calls) if call.lazy]
        self.by_end = sorted(range(len(calls)), key=lambda n: calls[n].end)

    def may_come(self, n, done, world):
        call = self.calls[n]
        if done >> n & 1 or self.before[n] & ~done:
            return False
        return not any(not done >> m & 1 and m != n and call.inside and
                       self.calls[m].end < call.start and
                       waits_behind(world, call, self.calls[m]) for m in self.lazy)

    def after(self, n, world):
        """The worlds after that call, if it is answered as it was."""
        call, after = self.calls[n], world.copy()
        if call.kind == 'may_store_created':
            yield world
            call = call._replace(kind='store_created')
        answer = getattr(self.model, call.kind)(after, call, *call.arguments)
        if answer == call.result or n == self.ignored:
            yield after

    def find(self, world):
        """Whether there is one that begins with WORLD."""
        everything = (1 << len(self.calls)) - 1
        seen, stack = set(), [(0, world)]
        while stack:
            done, world = stack.pop()
            if done == everything:
                return True
            for n in reversed(self.by_end):
                if not self.may_come(n, done, world):
                    continue
                for after in self.after(n, world):
                    key = done | 1 << n, after.frozen()
                    if key not in seen:
                        seen.add(key)
                        stack.append((done | 1 << n, after))
            if len(seen) > self.most_steps:
                raise Undecided
        return False


def blamed(model, calls, world):
    """The calls without any one of which there would be an order."""
    for n in range(len(calls)):
        try:
            if Search(model, calls, FEW_STEPS, n).find(world.copy()):
                yield n
        except (Undecided, KeyError):
            pass                        # what comes behind makes no sense without it
