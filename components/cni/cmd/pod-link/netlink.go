package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

const (
	attributeNamespace  = 28 // IFLA_NET_NS_FD
	attributeNeighbour  = 1  // NDA_DST
	attributeMAC        = 2  // NDA_LLADDR
	permanent           = 0x80
	unused              = "vec"
	hostBits            = 32
	setNetworkNamespace = 308
)

var errNoLink = errors.New("no link has the hardware address")

// address is an IPv4 address.
type address [4]byte

func (a address) String() string { return netip.AddrFrom4(a).String() }

func (a *address) UnmarshalText(text []byte) error {
	parsed, err := netip.ParseAddr(string(text))
	if err == nil && !parsed.Is4() {
		err = errors.New("not an IPv4 address")
	}
	if err == nil {
		*a = parsed.As4()
	}
	return err
}

// mac is an Ethernet address.
type mac [6]byte

func (m mac) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func (m *mac) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5])
	return err
}

type link struct {
	index int32
	name  string
}

// netlink is an rtnetlink socket of the namespace that it was made in.
type netlink struct {
	socket int
}

func dial() (netlink, error) {
	socket, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
	return netlink{socket}, err
}

// enter moves the thread to another network namespace.
func enter(namespace *os.File) error {
	_, _, failed := syscall.RawSyscall(setNetworkNamespace, namespace.Fd(), syscall.CLONE_NEWNET, 0)
	if failed != 0 {
		return fmt.Errorf("enter %s: %w", namespace.Name(), failed)
	}
	return nil
}

// find returns the link with a hardware address. Under User Mode Linux there are several, of which
// each can be up only once: one that came back from a namespace has another name than at boot.
func (n netlink) find(wanted mac) (link, error) {
	if err := n.send(syscall.RTM_GETLINK, syscall.NLM_F_DUMP, make([]byte, syscall.SizeofIfInfomsg)); err != nil {
		return link{}, err
	}
	var found *link
	for {
		messages, err := n.receive()
		if err != nil {
			return link{}, fmt.Errorf("list links: %w", err)
		}
		for _, message := range messages {
			if message.Header.Type == syscall.NLMSG_DONE {
				if found == nil {
					return link{}, fmt.Errorf("%w %s", errNoLink, wanted)
				}
				return *found, nil
			}
			other, err := parse(message, wanted)
			if err != nil {
				return link{}, err
			}
			if other != nil && (found == nil || better(*other, *found)) {
				found = other
			}
		}
	}
}

func better(one, other link) bool {
	if fresh := strings.HasPrefix(one.name, unused); fresh != strings.HasPrefix(other.name, unused) {
		return fresh
	}
	return one.index < other.index
}

// parse returns the link of a message, or nil if its hardware address is another.
func parse(message syscall.NetlinkMessage, wanted mac) (*link, error) {
	attributes, err := syscall.ParseNetlinkRouteAttr(&message)
	if err != nil {
		return nil, err
	}
	made, matches := link{index: int32(binary.NativeEndian.Uint32(message.Data[4:]))}, false
	for _, each := range attributes {
		switch each.Attr.Type {
		case syscall.IFLA_IFNAME:
			made.name = string(bytes.TrimRight(each.Value, "\x00"))
		case syscall.IFLA_ADDRESS:
			matches = bytes.Equal(each.Value, wanted[:])
		}
	}
	if !matches {
		return nil, nil
	}
	return &made, nil
}

// move gives a link to another namespace, under another name.
func (n netlink) move(link link, namespace *os.File, name string) error {
	body := header(syscall.SizeofIfInfomsg, 4, link.index)
	body = attribute(body, attributeNamespace, binary.NativeEndian.AppendUint32(nil, uint32(namespace.Fd())))
	body = attribute(body, syscall.IFLA_IFNAME, append([]byte(name), 0))
	return n.change(syscall.RTM_SETLINK, 0, body)
}

func (n netlink) up(link link) error {
	body := header(syscall.SizeofIfInfomsg, 4, link.index)
	binary.NativeEndian.PutUint32(body[8:], syscall.IFF_UP)
	binary.NativeEndian.PutUint32(body[12:], syscall.IFF_UP)
	return n.change(syscall.RTM_SETLINK, 0, body)
}

func (n netlink) addAddress(link link, added address) error {
	body := header(syscall.SizeofIfAddrmsg, 4, link.index)
	body[0], body[1] = syscall.AF_INET, hostBits
	body = attribute(body, syscall.IFA_LOCAL, added[:])
	body = attribute(body, syscall.IFA_ADDRESS, added[:])
	return n.change(syscall.RTM_NEWADDR, syscall.NLM_F_CREATE, body)
}

func (n netlink) addNeighbour(link link, at address, hardware mac) error {
	body := header(12, 4, link.index)
	body[0], body[8] = syscall.AF_INET, permanent
	body = attribute(body, attributeNeighbour, at[:])
	body = attribute(body, attributeMAC, hardware[:])
	return n.change(syscall.RTM_NEWNEIGH, syscall.NLM_F_CREATE|syscall.NLM_F_REPLACE, body)
}

// addRoute adds a route to one address, or the default route, on a link or by a gateway.
func (n netlink) addRoute(link link, to *address, gateway *address) error {
	body := make([]byte, syscall.SizeofRtMsg)
	body[0], body[4] = syscall.AF_INET, syscall.RT_TABLE_MAIN
	body[5], body[7] = syscall.RTPROT_BOOT, syscall.RTN_UNICAST
	if to != nil {
		body[1], body[6] = hostBits, syscall.RT_SCOPE_LINK
		body = attribute(body, syscall.RTA_DST, to[:])
	}
	if gateway != nil {
		body = attribute(body, syscall.RTA_GATEWAY, gateway[:])
	}
	body = attribute(body, syscall.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(link.index)))
	return n.change(syscall.RTM_NEWROUTE, syscall.NLM_F_CREATE, body)
}

// header returns the fixed part of a request, with a link's number at an offset.
func header(size, offset int, index int32) []byte {
	body := make([]byte, size)
	binary.NativeEndian.PutUint32(body[offset:], uint32(index))
	return body
}

func attribute(body []byte, kind uint16, value []byte) []byte {
	body = binary.NativeEndian.AppendUint16(body, uint16(4+len(value)))
	body = binary.NativeEndian.AppendUint16(body, kind)
	body = append(body, value...)
	return append(body, make([]byte, -len(value)&3)...)
}

// change sends a request and waits for its acknowledgement.
func (n netlink) change(kind, flags uint16, body []byte) error {
	if err := n.send(kind, flags|syscall.NLM_F_ACK, body); err != nil {
		return err
	}
	messages, err := n.receive()
	if err == nil && len(messages) == 0 {
		err = errors.New("no answer")
	}
	return err
}

func (n netlink) send(kind, flags uint16, body []byte) error {
	message := binary.NativeEndian.AppendUint32(nil, uint32(syscall.NLMSG_HDRLEN+len(body)))
	message = binary.NativeEndian.AppendUint16(message, kind)
	message = binary.NativeEndian.AppendUint16(message, flags|syscall.NLM_F_REQUEST)
	message = append(message, make([]byte, 8)...)
	return syscall.Sendto(n.socket, append(message, body...), 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK})
}

// receive returns the messages of one datagram; an error message is returned as an error.
func (n netlink) receive() ([]syscall.NetlinkMessage, error) {
	buffer := make([]byte, 1<<16)
	size, _, err := syscall.Recvfrom(n.socket, buffer, 0)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseNetlinkMessage(buffer[:size])
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		if message.Header.Type == syscall.NLMSG_ERROR {
			if number := int32(binary.NativeEndian.Uint32(message.Data)); number != 0 {
				return nil, syscall.Errno(-number)
			}
		}
	}
	return messages, nil
}
