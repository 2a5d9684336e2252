"""The patch controller: carries out PatchCampaigns, as Fargate replaces pods to patch them.

Source of its behaviour: EKS user guide, "Set actions for AWS Fargate OS patching events".
"""
