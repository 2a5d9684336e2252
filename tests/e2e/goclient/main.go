// Makes, waits for, tags and deletes a Fargate profile with AWS's SDK for Go, as it comes.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
)

func main() {
	cluster, profile, role := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Endpoint, authority, region and key come from the environment.
	settings, err := config.LoadDefaultConfig(ctx)
	must(err)
	client := eks.NewFromConfig(settings)

	made, err := client.CreateFargateProfile(ctx, &eks.CreateFargateProfileInput{
		ClusterName:         &cluster,
		FargateProfileName:  &profile,
		PodExecutionRoleArn: &role,
		Selectors:           []types.FargateProfileSelector{{Namespace: &profile}},
		Tags:                map[string]string{"made": "by go & co"},
	})
	must(err)
	which := &eks.DescribeFargateProfileInput{ClusterName: &cluster, FargateProfileName: &profile}
	quick := func(o *eks.FargateProfileActiveWaiterOptions) { o.MinDelay = time.Second }
	must(eks.NewFargateProfileActiveWaiter(client, quick).Wait(ctx, which, time.Minute))

	arn := made.FargateProfile.FargateProfileArn
	_, err = client.UntagResource(ctx, &eks.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"made"}})
	must(err)
	_, err = client.TagResource(ctx, &eks.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "b"}})
	must(err)
	shown, err := client.DescribeFargateProfile(ctx, which)
	must(err)
	one := int32(1)
	pages := eks.NewListFargateProfilesPaginator(
		client, &eks.ListFargateProfilesInput{ClusterName: &cluster, MaxResults: &one})
	names := []string{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		must(err)
		names = append(names, page.FargateProfileNames...)
	}
	gone, err := client.DeleteFargateProfile(ctx, &eks.DeleteFargateProfileInput{
		ClusterName: &cluster, FargateProfileName: &profile})
	must(err)
	soon := func(o *eks.FargateProfileDeletedWaiterOptions) { o.MinDelay = time.Second }
	must(eks.NewFargateProfileDeletedWaiter(client, soon).Wait(ctx, which, time.Minute))
	_, err = client.DescribeFargateProfile(ctx, which)
	fmt.Println(made.FargateProfile.Status, shown.FargateProfile.Status, shown.FargateProfile.Tags, names, gone.FargateProfile.Status)
	fmt.Println(err)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
