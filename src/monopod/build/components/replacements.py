"""Changes of upstream's modules, each guarded: a build stops where the text is not upstream's.

A kubelet watches pods only once it has its Node, for which it looks once a second; the first look
is always too early, and a machine's only pod waits for the second. How it mounts volumes is in
:mod:`monopod.build.components.kubelet_volumes`.

metrics-server has figures of a pod from its second look on, and looks every ten seconds at most:
too seldom for figures within 15 s. Kubelets read a container's usage when they are asked for it.

The others are of gVisor:

- Those of its memory cgroups are in :mod:`monopod.build.components.gvisor_memory`, those of its
  processor time in :mod:`monopod.build.components.gvisor_cpu`.
- Its network stack has no request for permanent neighbours (``RTM_NEWNEIGH``).
- A link that moves to another network namespace there gets no more packets once the goroutines that
  read it have ended: they are stopped, and not started again. And packet sockets do not see it.
- A signal ends the wait of a process that opens a FIFO, where Linux resumes it unless the handler
  says otherwise. runc's containers wait so for their start, and Go's scheduler sends signals: now
  and then one ended, and its pod started a quarter of a minute late.
"""

from typing import Final

from monopod.build.components.gvisor_cpu import CPU
from monopod.build.components.gvisor_memory import MEMORY
from monopod.build.components.kubelet_volumes import VOLUMES
from monopod.build.components.replacement import Replacement

_WAIT: Final = "const WaitForAPIServerSyncPeriod = {} * time."
KUBERNETES: Final = (
    Replacement(
        "pkg/kubelet/config/apiserver.go",
        f"{_WAIT.format(1)}Second\n",
        f"{_WAIT.format(20)}Millisecond\n",
    ),
    *VOLUMES,
)

_NETLINK: Final = "pkg/sentry/socket/netlink/route/protocol.go"
_REQUEST: Final = "\t\tcase linux.RTM_NEWADDR:\n"
_HANDLER: Final = "// newAddr handles RTM_NEWADDR requests.\n"
_NEIGHBOURS: Final = """\
// newNeighbour handles RTM_NEWNEIGH requests for permanent neighbours.
func (p *Protocol) newNeighbour(s *netlink.Socket, msg *nlmsg.Message) *syserr.Error {
	stack, ok := s.Stack().(interface {
		AddPermanentNeighbour(index int32, family uint8, address, linkAddress []byte) error
	})
	if !ok {
		return syserr.ErrProtocolNotSupported
	}
	// struct ndmsg: family, padding, the link's index, state, flags and type.
	header := primitive.ByteSlice(make([]byte, 12))
	attrs, ok := msg.GetData(&header)
	if !ok {
		return syserr.ErrInvalidArgument
	}
	values, ok := attrs.Parse()
	if !ok {
		return syserr.ErrInvalidArgument
	}
	const permanent, destination, linkLayerAddress = 0x80, 1, 2 // NUD_, NDA_DST, NDA_LLADDR
	index, state := nlmsg.BytesView(header[4:8]), nlmsg.BytesView(header[8:10])
	link, _ := index.Int32()
	if value, _ := state.Uint16(); value != permanent {
		return syserr.ErrNotSupported
	}
	return syserr.FromError(stack.AddPermanentNeighbour(
		link, header[0], values[destination], values[linkLayerAddress]))
}

"""
_STACK: Final = "pkg/sentry/socket/netstack/stack.go"
_NEXT_METHOD: Final = "// RemoveInterfaceAddr implements inet.Stack.RemoveInterfaceAddr.\n"
_ADD_NEIGHBOUR: Final = """\
// AddPermanentNeighbour associates an address of a link's network with a link address.
func (s *Stack) AddPermanentNeighbour(
	index int32, family uint8, address, linkAddress []byte,
) error {
	protocol := header.IPv4ProtocolNumber
	switch {
	case len(linkAddress) != tcpip.LinkAddressSize:
		return linuxerr.EINVAL
	case family == linux.AF_INET && len(address) == header.IPv4AddressSize:
	case family == linux.AF_INET6 && len(address) == header.IPv6AddressSize:
		protocol = header.IPv6ProtocolNumber
	default:
		return linuxerr.EINVAL
	}
	err := s.Stack.AddStaticNeighbor(
		tcpip.NICID(index), protocol, tcpip.AddrFromSlice(address), tcpip.LinkAddress(linkAddress))
	if err != nil {
		return syserr.TranslateNetstackError(err).ToError()
	}
	return nil
}

"""
_ENDPOINT: Final = "pkg/tcpip/link/fdbased/endpoint.go"
_ATTACH: Final = "\tif dispatcher != nil && e.dispatcher == nil {\n"
_REATTACH: Final = """\
	if dispatcher != nil && e.dispatcher != nil {
		// The goroutines that read go on, for another interface or its bridge.
		e.dispatcher = dispatcher
		return
	}
"""
_NIC: Final = "pkg/tcpip/stack/nic.go"
_DETACH: Final = "\tn.NetworkLinkEndpoint.Attach(nil)\n\tif closeLinkEndpoint {\n"
_DETACH_AT_ITS_END: Final = """\
	if closeLinkEndpoint {
		n.NetworkLinkEndpoint.Attach(nil)
"""
_MOVE: Final = "NICOptions{Name: name})"
_MOVE_WHOLE: Final = "NICOptions{Name: name, DeliverLinkPackets: nic.deliverLinkPackets})"

_LINKS: Final = (
    Replacement(_NETLINK, _HANDLER, _NEIGHBOURS + _HANDLER),
    Replacement(
        _NETLINK,
        _REQUEST,
        "\t\tcase linux.RTM_NEWNEIGH:\n\t\t\treturn p.newNeighbour(s, msg)\n" + _REQUEST,
    ),
    Replacement(_STACK, _NEXT_METHOD, _ADD_NEIGHBOUR + _NEXT_METHOD),
    Replacement(_ENDPOINT, _ATTACH, _REATTACH + _ATTACH),
    Replacement(_NIC, _DETACH, _DETACH_AT_ITS_END),
    Replacement("pkg/tcpip/stack/stack.go", _MOVE, _MOVE_WHOLE),
)

_FIFO_WAIT: Final = """\
			if !ctx.BlockOn((*{})(&vp.pipe), waiter.EventInternal) {{
				fd.DecRef(ctx)
				return nil, linuxerr.{}
"""
_FIFOS: Final = tuple(
    Replacement(
        "pkg/sentry/kernel/pipe/vfs.go",
        _FIFO_WAIT.format(awaited, "EINTR"),
        _FIFO_WAIT.format(awaited, "ERESTARTSYS"),
    )
    for awaited in ("waitWriters", "waitReaders")
)

METRICS_SERVER: Final = (
    Replacement(
        "cmd/metrics-server/app/options/options.go",
        "\tif o.MetricResolution < 10*time.Second {\n",
        "\tif o.MetricResolution < 5*time.Second {\n",
    ),
)

GVISOR: Final = (*CPU, *MEMORY, *_LINKS, *_FIFOS)
