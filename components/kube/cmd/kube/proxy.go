package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/version/verflag"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	"k8s.io/kubernetes/pkg/proxy/apis/config"
	configscheme "k8s.io/kubernetes/pkg/proxy/apis/config/scheme"
	"k8s.io/kubernetes/pkg/proxy/apis/config/validation"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	"k8s.io/kubernetes/pkg/proxy/nftables"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
)

// newProxyCommand is kube-proxy for a router that is no node: upstream's
// server and nftables rules, put together without upstream's search for a Node
// object of its own name. That search would hold the first rules back for 30
// seconds, and a Node made to end it could never go away again (kube-proxy
// exits when its Node does). Upstream runs the server so itself, in kubemark.
//
// It takes the same configuration file; a stock kube-proxy given that file does
// the same work, half a minute later.
func newProxyCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:          "kube-proxy",
		Short:        "Program nftables with the services' addresses, on a router that is no node",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			verflag.PrintAndExitIfRequested()
			config, err := readProxyConfig(file)
			if err != nil {
				return fmt.Errorf("configuration %q: %w", file, err)
			}
			logs.InitLogs()
			if err := logsapi.ValidateAndApply(&config.Logging, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			return runProxy(command.Context(), config)
		},
	}
	verflag.AddFlags(command.Flags())
	command.Flags().StringVar(&file, "config", "", "The KubeProxyConfiguration, a file")
	return command
}

func readProxyConfig(file string) (*config.KubeProxyConfiguration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	decoded, kind, err := configscheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	configuration, ok := decoded.(*config.KubeProxyConfiguration)
	if !ok {
		return nil, fmt.Errorf("holds a %v", kind)
	}
	if errs := validation.Validate(configuration); len(errs) != 0 {
		return nil, errs.ToAggregate()
	}
	if configuration.Mode != config.ProxyModeNFTables ||
		configuration.DetectLocalMode != config.LocalModeInterfaceNamePrefix ||
		net.ParseIP(configuration.BindAddress).To4() == nil {
		return nil, errors.New("needs mode nftables, detectLocalMode InterfaceNamePrefix and an IPv4 bindAddress")
	}
	return configuration, nil
}

func runProxy(ctx context.Context, configuration *config.KubeProxyConfiguration) error {
	kubeconfig, err := clientcmd.BuildConfigFromFlags("", configuration.ClientConnection.Kubeconfig)
	if err != nil {
		return err
	}
	kubeconfig.ContentType = configuration.ClientConnection.ContentType
	client, err := clientset.NewForConfig(kubeconfig)
	if err != nil {
		return err
	}
	name, address := configuration.HostnameOverride, net.ParseIP(configuration.BindAddress)
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	recorder := broadcaster.NewRecorder(configscheme.Scheme, "kube-proxy")
	health := healthcheck.NewProxyHealthServer(
		configuration.HealthzBindAddress, 2*configuration.SyncPeriod.Duration, noNode{})
	proxier, err := nftables.NewProxier(
		ctx,
		configuration,
		v1.IPv4Protocol,
		proxyutil.NewDetectLocalByInterfaceNamePrefix(configuration.DetectLocal.InterfaceNamePrefix),
		name,
		address,
		recorder,
		health,
		false,
	)
	if err != nil {
		return err
	}
	server := &proxy.ProxyServer{
		Config:          configuration,
		Client:          client,
		Broadcaster:     broadcaster,
		Recorder:        recorder,
		NodeRef:         &v1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name},
		HealthzServer:   health,
		NodeName:        name,
		PrimaryIPFamily: v1.IPv4Protocol,
		NodeIPs:         map[v1.IPFamily]net.IP{v1.IPv4Protocol: address},
		Proxier:         proxier,
	}
	return server.Run(ctx)
}

// noNode answers the health server's question whether this node is being taken
// out of service: a router never is.
type noNode struct{}

func (noNode) Node() *v1.Node { return &v1.Node{} }
