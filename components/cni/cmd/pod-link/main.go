// Command pod-link is the CNI plugin of machines that run one pod. It moves the machine's second
// link into the pod's network namespace as eth0, with the pod's address. It starts no program and
// uses few system calls, because User Mode Linux traces each of them; and only the requests of
// rtnetlink that gVisor's network stack has too.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// version is the component's, set at link time.
var version = "unknown"

// configuration is the plugin's entry in the network configuration.
type configuration struct {
	CNIVersion string `json:"cniVersion"`
	// MAC is the link's hardware address, by which it is found.
	MAC mac `json:"mac"`
	// Address is the pod's.
	Address address `json:"address"`
	// Gateway is where all its packets go, and GatewayMAC the router's end of the link.
	Gateway    address `json:"gateway"`
	GatewayMAC mac     `json:"gatewayMAC"`
}

type container struct {
	namespace string
	link      string
}

func main() {
	if err := run(os.Getenv("CNI_COMMAND")); err != nil {
		// The CNI specification's error object, with its generic code.
		failure := map[string]any{"cniVersion": "1.0.0", "code": 999, "msg": err.Error()}
		json.NewEncoder(os.Stdout).Encode(failure)
		os.Exit(1)
	}
}

func run(command string) error {
	pod := container{namespace: os.Getenv("CNI_NETNS"), link: os.Getenv("CNI_IFNAME")}
	switch command {
	case "ADD":
		var wanted configuration
		if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
			return fmt.Errorf("network configuration: %w", err)
		}
		if err := add(wanted, pod); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(result(wanted, pod))
	case "DEL":
		var wanted configuration
		if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
			return fmt.Errorf("network configuration: %w", err)
		}
		return giveBack(wanted, pod)
	case "CHECK", "GC", "STATUS":
		return nil
	case "VERSION":
		versions := map[string]any{"cniVersion": "1.0.0", "supportedVersions": []string{"1.0.0"}}
		return json.NewEncoder(os.Stdout).Encode(versions)
	case "":
		fmt.Printf("CNI pod-link plugin v%s\n", version)
		return nil
	}
	return fmt.Errorf("unknown CNI_COMMAND %q", command)
}

func add(wanted configuration, pod container) error {
	// The namespace is the thread's; the process ends before another goroutine could get it.
	runtime.LockOSThread()
	namespace, err := os.Open(pod.namespace)
	if err != nil {
		return err
	}
	outside, err := dial()
	if err != nil {
		return err
	}
	link, err := outside.find(wanted.MAC)
	if err != nil {
		return err
	}
	if err := outside.move(link, namespace, pod.link); err != nil {
		return fmt.Errorf("move link %s to %s: %w", link.name, pod.namespace, err)
	}
	if err := enter(namespace); err != nil {
		return err
	}
	inside, err := dial()
	if err != nil {
		return err
	}
	// Its number may be another there.
	if link, err = inside.find(wanted.MAC); err != nil {
		return err
	}
	return inside.configure(link, wanted)
}

// giveBack moves the link to the machine's own namespace. Linux does so when the pod's namespace ends;
// with gVisor the link would end too.
func giveBack(wanted configuration, pod container) error {
	runtime.LockOSThread()
	namespace, err := os.Open(pod.namespace)
	if errors.Is(err, fs.ErrNotExist) {
		// No name is no file either.
		return nil
	}
	if err != nil {
		return err
	}
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	if err := enter(namespace); err != nil {
		return err
	}
	inside, err := dial()
	if err != nil {
		return err
	}
	link, err := inside.find(wanted.MAC)
	if errors.Is(err, errNoLink) {
		return nil
	}
	if err != nil {
		return err
	}
	// Under User Mode Linux several links have been eth0, with different numbers.
	if err := inside.move(link, outside, fmt.Sprintf("used%d", link.index)); err != nil {
		return fmt.Errorf("move link %s out of %s: %w", link.name, pod.namespace, err)
	}
	return nil
}

func (n netlink) configure(link link, wanted configuration) error {
	err := n.up(link)
	if err != nil {
		// User Mode Linux refuses to open a link once in some hundred times.
		err = n.up(link)
	}
	if err != nil {
		return fmt.Errorf("set link %s up: %w", link.name, err)
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"add the address", func() error { return n.addAddress(link, wanted.Address) }},
		{"add the gateway's neighbour entry", func() error {
			return n.addNeighbour(link, wanted.Gateway, wanted.GatewayMAC)
		}},
		{"add the route to the gateway", func() error { return n.addRoute(link, &wanted.Gateway, nil) }},
		{"add the default route", func() error { return n.addRoute(link, nil, &wanted.Gateway) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func result(wanted configuration, pod container) any {
	return map[string]any{
		"cniVersion": wanted.CNIVersion,
		"interfaces": []any{map[string]any{
			"name": pod.link, "mac": wanted.MAC.String(), "sandbox": pod.namespace,
		}},
		"ips": []any{map[string]any{
			"address": wanted.Address.String() + "/32", "gateway": wanted.Gateway.String(), "interface": 0,
		}},
		"routes": []any{map[string]any{"dst": "0.0.0.0/0", "gw": wanted.Gateway.String()}},
		"dns":    map[string]any{},
	}
}
