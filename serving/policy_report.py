"""What ``fenzhen policy check`` says of a sound policy: how much of everything there is, and what no rule covers."""

from collections import Counter

from data.policy_schema import Policy


def policy_lines(policy: Policy) -> list[str]:
    """Counts, one a line, then the labels without any rule."""
    taxonomy = policy.taxonomy
    by_dimension = Counter(rule.supports.label[0] for rule in policy.rules)
    counts = {
        "问题类型": f"{len(taxonomy.misconduct)}（{len(taxonomy.families)} 大类）",
        "责任部门": len(taxonomy.departments),
        "紧急程度": len(taxonomy.cards),
        "规则": f"{len(policy.rules)}（反映问题 {by_dimension['misconduct']}，责任部门 {by_dimension['department']}，"
        f"紧急程度 {by_dimension['urgency']}）",
        "防线": len(policy.guards),
        "条款": f"{len(policy.clauses)}（{len(policy.plans)} 份方案）",
        "单位": len(policy.units),
        "办理时限": len(policy.procedures),
        "词典": f"{len(policy.dictionary)} 词",
    }
    lines = [f"规则目录没有错误。分类 {taxonomy.label}，规则 {policy.rules_digest[:12]}"]
    lines += [f"  {name}：{count}" for name, count in counts.items()]
    bare = _without_rules(policy)
    return [*lines, f"  还没有规则的标签：{'、'.join(bare)}"] if bare else lines


def _without_rules(policy: Policy) -> list[str]:
    """Labels that no rule supports; the lowest card needs none."""
    taxonomy, covered = policy.taxonomy, {rule.supports.label[1] for rule in policy.rules}
    ids = (*taxonomy.misconduct_ids, *taxonomy.department_ids, *taxonomy.card_ids[1:])
    return [id for id in ids if id not in covered]
