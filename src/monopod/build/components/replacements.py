"""Changes of upstream's modules, each guarded: a build stops where the text is not upstream's.

A kubelet watches pods only once it has its Node, for which it looks once a second; the first look
is always too early, and a machine's only pod waits for the second.

gVisor's cgroups lack files that a kubelet needs: ``memory.stat``, without which it reports no
memory, and ``memory.min`` and ``memory.low``, which a restarted kubelet sets to 0.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Replacement:
    """A change of one file of a module. A build fails where upstream's text is another."""

    file: str
    """Path in the module."""
    old: str
    """Text that the file has exactly once."""
    new: str


_WAIT: Final = "const WaitForAPIServerSyncPeriod = {} * time."
KUBERNETES: Final = (
    Replacement(
        "pkg/kubelet/config/apiserver.go",
        f"{_WAIT.format(1)}Second\n",
        f"{_WAIT.format(20)}Millisecond\n",
    ),
)

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
_LIST: Final = """\
{name: "memory.low", source: &memoryProtection{}, perm: 0644},
		{name: "memory.min", source: &memoryProtection{}, perm: 0644},
		{name: "memory.stat", source: &memoryStat{m: m}, perm: 0444, showAtRoot: true},
		"""
_FIRST: Final = '{name: "memory.current",'
_NAMES: Final = '[]string{"memory.events",'
_NEXT_TYPE: Final = "// +stateify savable\ntype memoryCurrent struct"

GVISOR: Final = (
    Replacement(_FILE, _FIRST, _LIST + _FIRST),
    Replacement(_FILE, _NAMES, f'{_NAMES} "memory.low", "memory.min", "memory.stat",'),
    Replacement(_FILE, _NEXT_TYPE, _TYPES + _NEXT_TYPE),
)
