"""Changes of the kubelet's volume manager, whose loops follow a pod that waits.

Upstream's two loops - one finds what volumes pods want, the other mounts and unmounts - look ten
times a second each, and a pod waits for both. A machine's pod wants something when it starts and
when it ends: a pod that begins to wait wakes the first loop, which wakes the second. While a pod
waits they also look as often as upstream's do, and once a second otherwise.
"""

from typing import Final

from monopod.build.components.replacement import Replacement

_MANAGER: Final = "pkg/kubelet/volumemanager/volume_manager.go"
_POPULATOR: Final = "pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go"
_RECONCILER: Final = "pkg/kubelet/volumemanager/reconciler/reconciler.go"
_TYPE: Final = """\
type processedPods struct {
	processedPods map[volumetypes.UniquePodName]bool
	sync.RWMutex
}
"""
_LOOPS: Final = """
const idlePeriod = time.Second

var (
	waiting atomic.Int32
	woken   = make(chan struct{}, 1)
	// PodsChanged is sent to when the first loop has found what pods want.
	PodsChanged = make(chan struct{}, 1)
)

// AwaitVolumes says that a pod waits for its volumes until the function that it returns is called.
func AwaitVolumes() func() {
	waiting.Add(1)
	wake(woken)
	return func() { waiting.Add(-1) }
}

// Attend calls a loop's function at each signal, each period while a pod waits, and once a second
// otherwise.
func Attend(
	ctx context.Context, signal <-chan struct{}, period time.Duration, look func(context.Context),
) {
	for ctx.Err() == nil {
		func() {
			defer utilruntime.HandleCrashWithContext(ctx)
			look(ctx)
		}()
		pause := period
		if waiting.Load() == 0 {
			pause = idlePeriod
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-signal:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func wake(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}
"""
_LOOP: Final = "\twait.UntilWithContext(ctx, dswp.populatorLoop, dswp.loopSleepDuration)\n"
_ATTENDED: Final = """\
	Attend(ctx, woken, dswp.loopSleepDuration, func(ctx context.Context) {
		dswp.populatorLoop(ctx)
		wake(PodsChanged)
	})
"""
_FIRST_LOOKS: Final = "wait.PollUntilContextCancel(ctx, dswp.loopSleepDuration, false,"
_SETS: Final = '\t"k8s.io/apimachinery/pkg/util/sets"\n'
_WAIT: Final = '\t"k8s.io/apimachinery/pkg/util/wait"\n'
_KLOG: Final = '\t"k8s.io/klog/v2"\n'
_IMPORT: Final = '\t"k8s.io/kubernetes/pkg/kubelet/volumemanager/populator"\n'
_RETRY: Final = "podAttachAndMountRetryInterval = {} * time.Millisecond\n"
_REPROCESS: Final = "\tvm.desiredStateOfWorldPopulator.ReprocessPod(uniquePodName)\n"
_AWAIT: Final = "\tdefer populator.AwaitVolumes()()\n"
_TO_MOUNT: Final = "\t// like Downward API, depend on this to update the contents of the volume).\n"
_TO_UNMOUNT: Final = (
    'to unmount for pod", "pod", klog.KObj(pod))\n\tuniquePodName := util.GetUniquePodName(pod)\n\n'
)
VOLUMES: Final = (
    Replacement(_MANAGER, _RETRY.format(300), _RETRY.format(10)),
    Replacement(_MANAGER, _TO_MOUNT + _REPROCESS, _TO_MOUNT + _REPROCESS + _AWAIT),
    Replacement(_MANAGER, _TO_UNMOUNT + _REPROCESS, _TO_UNMOUNT + _REPROCESS + _AWAIT),
    Replacement(_POPULATOR, '\t"sync"\n', '\t"sync"\n\t"sync/atomic"\n'),
    Replacement(
        _POPULATOR, _SETS, '\tutilruntime "k8s.io/apimachinery/pkg/util/runtime"\n' + _SETS
    ),
    Replacement(_POPULATOR, _TYPE, _TYPE + _LOOPS),
    Replacement(
        _POPULATOR,
        _FIRST_LOOKS,
        _FIRST_LOOKS.replace("dswp.loopSleepDuration", "30*time.Millisecond"),
    ),
    Replacement(_POPULATOR, _LOOP, _ATTENDED),
    Replacement(_RECONCILER, _WAIT, ""),
    Replacement(_RECONCILER, _KLOG, _KLOG + _IMPORT),
    Replacement(
        _RECONCILER,
        "wait.Until(func() { rc.reconcile(ctx) }, rc.loopSleepDuration, stopCh)",
        "populator.Attend(ctx, populator.PodsChanged, rc.loopSleepDuration, rc.reconcile)",
    ),
)
