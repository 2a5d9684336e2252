"""Changes of gVisor's memory cgroups, which lack what a kubelet needs.

- ``memory.stat``, without which a kubelet reports no memory, and ``memory.min`` and ``memory.low``,
  which a restarted kubelet sets to 0, are added.
- ``memory.max`` is remembered, and nothing is enforced. A process of the guest looks and kills, and
  might miss a container that ends soon after it exceeded its limit. So the sentry stops a process
  that is about to exceed it, until that is killed, or its container is below the limit.
"""

from typing import Final

from monopod.build.components.replacement import Replacement

_FILE: Final = "pkg/sentry/fsimpl/cgroup2fs/memory.go"
_TYPES: Final = """\
// memoryStat is memory.stat. All that a cgroup uses counts as anonymous: files have a separate
// memory file.
type memoryStat struct {
	m *memory
}

// Generate implements vfs.DynamicBytesSource.Generate.
func (ms *memoryStat) Generate(ctx context.Context, buf *bytes.Buffer) error {
	buf.WriteString("anon ")
	if err := (&memoryCurrent{m: ms.m}).Generate(ctx, buf); err != nil {
		return err
	}
	buf.WriteString("file 0\\ninactive_file 0\\npgfault 0\\npgmajfault 0\\n")
	return nil
}

// memoryProtection is memory.min or memory.low.
type memoryProtection struct{}

// Generate implements vfs.DynamicBytesSource.Generate.
func (*memoryProtection) Generate(ctx context.Context, buf *bytes.Buffer) error {
	buf.WriteString("0\\n")
	return nil
}

// Write implements vfs.WritableDynamicBytesSource.Write.
func (*memoryProtection) Write(
	ctx context.Context, _ *vfs.FileDescription, src usermem.IOSequence, offset int64,
) (int64, error) {
	return src.NumBytes(), nil
}

"""
_LIMITS: Final = """\
// limited has, by id, the cgroups with a limit.
var limited sync.Map

func init() {
	mm.OnAllocate = func(ctx context.Context, id uint32, length uint64) {
		if m, ok := limited.Load(id); ok {
			if t := kernel.TaskFromContext(ctx); t != nil {
				m.(*memory).allocate(t, int64(length))
			}
		}
	}
}

// used returns the memory that is known to be used, and forgets what was allocated before.
func (m *memory) used(k *kernel.Kernel) int64 {
	m.allocated.Store(0)
	bytes := int64(getUsage(k, map[uint32]struct{}{m.id: {}}))
	m.scanned.Store(bytes)
	return bytes
}

// allocate stops a process that exceeds the limit by what it is about to use. Up to a huge page of
// that is allocated in advance, and may remain unused.
func (m *memory) allocate(t *kernel.Task, length int64) {
	limit := m.maxBytes.Load()
	if limit > math.MaxInt64-hostarch.HugePageSize {
		return
	}
	if m.scanned.Load()+m.allocated.Add(length) <= limit+hostarch.HugePageSize {
		return
	}
	if m.used(t.Kernel())+length <= limit+hostarch.HugePageSize {
		m.allocated.Add(length)
		return
	}
	// The next process may be here before the end of an earlier one was noticed.
	if m.stopping.Swap(t.ThreadGroup()) != t.ThreadGroup() {
		go m.stop(t)
	}
}

// stop stops a process until it is killed, or memory is free again.
func (m *memory) stop(t *kernel.Task) {
	defer m.stopping.CompareAndSwap(t.ThreadGroup(), nil)
	send := func(signal linux.Signal) {
		t.ThreadGroup().SendSignal(&linux.SignalInfo{Signo: int32(signal), Code: linux.SI_KERNEL})
	}
	send(linux.SIGSTOP)
	for t.ExitState() == kernel.TaskExitNone {
		time.Sleep(10 * time.Millisecond)
		if strings.HasPrefix(t.StateStatus(), "T") && m.used(t.Kernel()) <= m.maxBytes.Load() {
			send(linux.SIGCONT)
			return
		}
	}
}

"""
_LIST: Final = """\
{name: "memory.low", source: &memoryProtection{}, perm: 0644},
		{name: "memory.min", source: &memoryProtection{}, perm: 0644},
		{name: "memory.stat", source: &memoryStat{m: m}, perm: 0444, showAtRoot: true},
		"""
_FIRST: Final = '{name: "memory.current",'
_NAMES: Final = '[]string{"memory.events",'
_FIELD: Final = "\thighBytes atomicbitops.Int64\n"
_STORE: Final = "\tmm.m.maxBytes.Store(val)\n"
_DETACH: Final = "func (m *memory) detach() {\n"
_IMPORT: Final = '\t"gvisor.dev/gvisor/pkg/atomicbitops"\n'
_IMPORT_USAGE: Final = '\t"gvisor.dev/gvisor/pkg/sentry/usage"\n'
_IMPORT_USERMEM: Final = '\t"gvisor.dev/gvisor/pkg/usermem"\n'
_FAULTS: Final = "pkg/sentry/mm/pma.go"
_ALLOCATE: Final = "fr, err := mm.mf.Allocate(uint64(allocAR.Length()), allocOpts)"
_TABS: Final = "\t" * 5
_FIRST_FUNCTION: Final = (
    "// existingPMAsLocked checks that pmas exist for all addresses in ar, and\n"
)
_HOOK: Final = """\
// OnAllocate is called before a task gets anonymous memory of a cgroup.
var OnAllocate = func(ctx context.Context, memCgID uint32, length uint64) {}

"""
_NEXT_TYPE: Final = "// +stateify savable\ntype memoryCurrent struct"

MEMORY: Final = (
    Replacement(_FILE, _FIRST, _LIST + _FIRST),
    Replacement(_FILE, _NAMES, f'{_NAMES} "memory.low", "memory.min", "memory.stat",'),
    Replacement(_FILE, _NEXT_TYPE, _TYPES + _LIMITS + _NEXT_TYPE),
    Replacement(
        _FILE,
        _FIELD,
        f"{_FIELD}\t// allocated is what was allocated since usage was scanned.\n"
        "\tallocated atomicbitops.Int64\n"
        "\tscanned   atomicbitops.Int64\n"
        "\t// stopping is the process that is stopped for exceeding the limit.\n"
        "\tstopping atomic.Pointer[kernel.ThreadGroup]\n",
    ),
    Replacement(
        _FILE,
        _STORE,
        f"{_STORE}\tif val == math.MaxInt64 {{\n\t\tlimited.Delete(mm.m.id)\n"
        "\t} else {\n\t\tlimited.Store(mm.m.id, mm.m)\n\t}\n",
    ),
    Replacement(_FILE, _DETACH, f"{_DETACH}\tlimited.Delete(m.id)\n"),
    Replacement(_FILE, '\t"strings"\n', '\t"strings"\n\t"sync/atomic"\n\t"time"\n'),
    Replacement(
        _FILE,
        _IMPORT,
        f'\t"gvisor.dev/gvisor/pkg/abi/linux"\n{_IMPORT}',
    ),
    Replacement(
        _FILE,
        _IMPORT_USAGE,
        f'\t"gvisor.dev/gvisor/pkg/sentry/mm"\n{_IMPORT_USAGE}',
    ),
    Replacement(_FILE, _IMPORT_USERMEM, f'\t"gvisor.dev/gvisor/pkg/sync"\n{_IMPORT_USERMEM}'),
    Replacement(
        _FAULTS,
        _ALLOCATE,
        f"OnAllocate(ctx, memCgID, uint64(allocAR.Length()))\n{_TABS}{_ALLOCATE}",
    ),
    Replacement(_FAULTS, _FIRST_FUNCTION, _HOOK + _FIRST_FUNCTION),
)
