// vpa-version prints the version of the Vertical Pod Autoscaler that it is built with. The programs
// built from the same module print it only once they have reached an API server.
package main

import (
	"fmt"

	"k8s.io/autoscaler/vertical-pod-autoscaler/common"
)

func main() {
	fmt.Println("Vertical Pod Autoscaler " + common.VerticalPodAutoscalerVersion())
}
